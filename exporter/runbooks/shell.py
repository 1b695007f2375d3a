"""The shell blocks that all runbooks share. They work in bash and zsh, and need only `curl` and `python3`.

They contain no comments, because an interactive zsh does not accept them by default. Changes to DataRobot are only made
by `dr_send`.
"""

from __future__ import annotations

import re

CONFIG_FLAG = '${CONFIG:+"--config.file=$CONFIG"}'
"""The flag for the settings file of the exporter, or nothing."""
WORKLOAD_VARIABLES = "export WORKLOAD_ID=...\nexport CONFIG="
ACCOUNT_VARIABLES = f"export ACCOUNT=...\n{WORKLOAD_VARIABLES}"
EXPORTER_VARIABLES = "export EXPORTER=http://127.0.0.1:10142\nexport CONFIG="
EXPLAIN = f"workload-exporter explain $WORKLOAD_ID --log-lines=20 {CONFIG_FLAG}"

FUNCTIONS = r"""dr_send() {
  local base="${DATAROBOT_ENDPOINT:?is not set}" token="${DATAROBOT_API_TOKEN:?is not set}"
  base="$(printf '%s' "$base" | sed -E 's#/*(/api/v2)?/*$##')/api/v2"
  curl -sSL --max-time 30 -w '\n%{http_code}' -X "$1" ${3:+"-d$3"} -H 'Content-Type: application/json' \
    -H @- "$base/$2" <<<"Authorization: Bearer $token" | python3 -c '
import json, sys
body, _, code = sys.stdin.buffer.read().decode(errors="replace").rpartition("\n")
reasons = {
    "000": "no response, for the reason that curl reports above",
    "401": "the token is not accepted; check DATAROBOT_API_TOKEN",
    "403": "not permitted: the role of the user of this token is too low, or the feature is disabled",
    "404": "not found: an unknown id, not shared with the user of this token, or no such object",
}
try:
    shown = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
except ValueError:
    shown = ""
if code.startswith("2") and shown:
    sys.exit(print(shown))
if code in ("202", "204") and not body.strip():
    sys.exit(print("(204: nothing is reported yet)" if sys.argv[1] == "GET" else f"({code}: accepted)"))
reason = reasons.get(code, "the body is not JSON" if code.startswith("2") else "refused or failed")
sys.exit("\n".join(filter(None, [f"{sys.argv[1]} {sys.argv[2]}: {code}, {reason}", body.strip()[:300]])))
' "$1" "$base/$2"
}
dr_get() {
  dr_send GET "$1"
}
dr_pods() {
  local list
  list="$(dr_get "workloads/$WORKLOAD_ID/protons/?limit=100")" || return
  printf '%s\n' "$list" | python3 -c '
import json, sys
for each in json.load(sys.stdin)["data"]:
    print(each["id"], each.get("role") or "-", each.get("status") or "-")
' | while read -r proton role state; do
    echo "version $proton, role $role, $state:"
    dr_get "workloads/$WORKLOAD_ID/protons/$proton/statusDetails"
  done
}"""
"""`dr_get PATH`, `dr_send METHOD PATH [JSON]` and `dr_pods`.

`dr_send` prints the JSON of a response. Without one it prints the reason: to standard output if the response is empty
as documented (202, 204), else to standard error, with status 1.
"""


def uses_functions(command: str) -> bool:
    """Whether a command needs `FUNCTIONS`."""
    return re.search(r"\bdr_\w+", command) is not None


def silence_commands(alert: str, labels: str) -> tuple[str, str]:
    """The commands that silence an alert for two hours: in an Alertmanager, and in direct paging.

    `labels` select the subject, such as ``workload_id=$WORKLOAD_ID``; empty: all subjects.
    """
    matchers = f"alertname={alert} {labels}".strip()
    return (
        f'amtool silence add {matchers} --duration=2h --comment="in progress" \\\n'
        '  --alertmanager.url="${ALERTMANAGER:-http://localhost:9093}"',
        f'workload-exporter silence add {matchers} --for=2h --comment="in progress" {CONFIG_FLAG}',
    )
