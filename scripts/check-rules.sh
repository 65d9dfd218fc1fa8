#!/usr/bin/env bash
# What promtool says of the rules in dashboards/rules, and whether every alert fires and stays silent where it should.
set -euo pipefail

cd "$(dirname "$0")/../dashboards/rules"
folder="$(../../scripts/prometheus.sh)"
told="$("$folder/promtool" check rules ./*.yml && cd tests && printf '%s\0' ./*.yml | xargs -0 -n 1 -P 4 "$folder/promtool" test rules)" || {
  printf '%s\n' "$told"
  exit 1
}
