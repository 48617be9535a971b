#!/usr/bin/env bash
# Train on Azure ML, fetch the model, and act on the exit code.
#
#     examples/train-on-azure.sh RAW_FOLDER MODEL_FOLDER
#
# The workspace comes from the environment (AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP, AZUREML_WORKSPACE_NAME) or
# from pdm-cli.toml. Sign in with az login, or with the variables of a service principal.
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: $0 RAW_FOLDER MODEL_FOLDER" >&2; exit 2; }
raw=$1
out=$2
pdm=(python -m pdm_cli)

# submit prints only the job's name to stdout; the job continues even if this script is stopped.
job=$("${pdm[@]}" submit --job-file job.json run --data "$raw")
echo "submitted $job"

status=0
"${pdm[@]}" fetch-results "$job" --out "$out" --wait --timeout 7200 || status=$?

case $status in
    0) echo "done: the model is in $out/model" ;;
    7) echo "the job failed; its log is in $out/logs" >&2 ;;
    8) echo "the job was cancelled" >&2 ;;
    9) echo "not finished after two hours; come back with: pdm fetch-results $job --out $out --wait" >&2 ;;
    75) echo "Azure could not be reached; the job continues" >&2 ;;
esac
exit "$status"
