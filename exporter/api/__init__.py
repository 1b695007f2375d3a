"""The Workload API's answers as values: objects, decoding, the offset of its clock. No I/O."""
