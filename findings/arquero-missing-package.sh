#!/usr/bin/env bash
# arquero 8.0.3 cannot be installed without a lock file: it asks for @uwdata/flechette ^2.0.0, whose newest 2.7.0 depends
# on @uwdata/wk-geojson ^0.0.1, which the registry does not have. `npm install arquero@8.0.3` ends with E404, as yarn and
# pnpm do. With flechette 2.6.0 named beside it, npm installs it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir alone pinned
(cd alone && npm init -y >/dev/null && npm install --no-audit --no-fund arquero@8.0.3 >log 2>&1) && alone=installed || alone=failed
grep -m1 'wk-geojson' alone/log || true
(cd pinned && npm init -y >/dev/null && npm install --no-audit --no-fund --silent @uwdata/flechette@2.6.0 arquero@8.0.3 >/dev/null 2>&1) &&
  pinned=installed || pinned=failed
echo "alone: $alone, with flechette 2.6.0: $pinned"
[ "$alone" = failed ] && [ "$pinned" = installed ] && grep -q 'wk-geojson' alone/log
