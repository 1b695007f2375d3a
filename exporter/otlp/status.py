"""The two messages of google.rpc that responses of collectors contain; googleapis-common-protos has 300 more.

Source: google/rpc/status.proto and google/rpc/error_details.proto of github.com/googleapis/googleapis.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_Field = FieldDescriptorProto
_FILE = FileDescriptorProto(
    name="google/rpc/exporter.proto",
    package="google.rpc",
    syntax="proto3",
    dependency=["google/protobuf/any.proto", "google/protobuf/duration.proto"],
    message_type=[
        DescriptorProto(
            name="Status",
            field=[
                _Field(name="code", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_INT32),
                _Field(name="message", number=2, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING),
                _Field(
                    name="details", number=3, label=_Field.LABEL_REPEATED, type=_Field.TYPE_MESSAGE,
                    type_name=".google.protobuf.Any",
                ),
            ],
        ),
        DescriptorProto(
            name="RetryInfo",
            field=[
                _Field(
                    name="retry_delay", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_MESSAGE,
                    type_name=".google.protobuf.Duration",
                )
            ],
        ),
    ],
)  # fmt: skip
_POOL = DescriptorPool()  # its own: another library may have the original messages in the default one
for _serialized in (any_pb2.DESCRIPTOR.serialized_pb, duration_pb2.DESCRIPTOR.serialized_pb, _FILE.SerializeToString()):
    _POOL.AddSerializedFile(_serialized)

Status: Any = GetMessageClass(_POOL.FindMessageTypeByName("google.rpc.Status"))
"""The error of a call: `code`, `message`, `details`."""
RetryInfo: Any = GetMessageClass(_POOL.FindMessageTypeByName("google.rpc.RetryInfo"))
"""How long to wait before a retry: `retry_delay`."""
