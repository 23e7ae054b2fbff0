#!/usr/bin/env bash
# Usage: ci.sh up|down     one staging per branch: up when it is pushed, down when it is merged or closed
# BRANCH, TAG and AUTHOR come from your CI; DM_URL, DM_CERT, DM_KEY and DM_CA say which dms and who asks.
set -euo pipefail
: "${BRANCH:?the branch}" "${TAG:?the tag of the image that was built}" "${AUTHOR:?who pushed}"

name=$(dmc name-from "$BRANCH")
case ${1:?up or down} in
  up)
    # A newer push takes the place of an older one that is still under way, never the other way round.
    dmc apply "$name" --tag "$TAG" --when-busy cancel --wait --timeout 30m \
      --on-behalf "$AUTHOR" --reason "push to $BRANCH"
    url=$(dmc info "$name" -o json | jq -er '.links[0].url')
    echo "$BRANCH is at $url"
    ;;
  down)
    # Archived, not removed: `dmc restore` brings it back, and `dmc cleanup --archived-for 14d` removes it one day.
    dmc delete "$name" --when-busy cancel --wait --on-behalf "$AUTHOR" --reason "$BRANCH is closed"
    ;;
esac
