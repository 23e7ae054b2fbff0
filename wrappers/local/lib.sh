# Shared by the wrappers of this folder, which source it: reads what dms hands over, reports, asks the demo host.
#
# The contract is in ../README.md. A wrapper never starts a process that is to stay: what it starts ends with it. So the
# stagings belong to `dms demo-host`, which dms has started, and the wrappers only tell it what they want.
# shellcheck shell=bash

set -euo pipefail

# What the arguments said. `overrides` holds them as they came, flag and value in turn.
name='' tag='' overrides=()

# Reads a wrapper's arguments into these variables. Values may hold anything, so they are never split or evaluated.
read_arguments() {
    while (($# > 0)); do
        (($# > 1)) || refuse "$1 needs a value"
        case $1 in
            --name) name=$2 ;;
            --tag) tag=$2 ;;
            --app-override | --staging-override) overrides+=("$1" "$2") ;;
            --project-name | --base-domain | --namespace) ;; # Of no use on one machine.
            *) refuse "unknown argument $1" ;;
        esac
        shift 2
    done
    [[ -n $name ]] || refuse '--name is missing'
}

# Says what is being done, to those who follow the run.
step() {
    printf '%s\n' "$1"
    report step "$1"
}

# Ends the wrapper with a cause in words and an exit code.
fail() {
    printf '%s\n' "$1" >&2
    report cause "$1"
    exit "${2:-1}"
}

# Ends a wrapper that was called wrongly, with a code that means nothing else in any verb.
refuse() {
    fail "$1" 64
}

# Appends a JSON line to the file that dms reads beside the output. By hand there is none.
report() {
    if [[ -n ${DM_REPORT:-} ]]; then
        printf '{"%s":"%s"}\n' "$1" "$(json_text "$2")" >>"$DM_REPORT"
    fi
}

# A text as it stands between the quotes of a JSON string.
json_text() {
    local text=$1 code hex character
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    for ((code = 1; code < 32; code++)); do
        printf -v hex '%02x' "$code"
        printf -v character '%b' "\\x$hex"
        text=${text//"$character"/"\\u00$hex"}
    done
    printf '%s' "$text"
}

# Asks the demo host; its answer, or its reason to refuse, is in `answer`.
demo_host() {
    local code=0
    answer=$("${DM_DMS:?the path of dms is missing}" demo-host "$@" 2>&1) || code=$?
    return "$code"
}

# The value of a key in `answer`; nothing if it is not there.
fact() {
    local line
    while IFS= read -r line; do
        if [[ $line == "$1: "* ]]; then
            printf '%s' "${line#"$1: "}"
            return
        fi
    done <<<"$answer"
}

# Makes the staging run with the tag and the overrides of the arguments, whatever it did before.
start_staging() {
    [[ -n $tag ]] || refuse '--tag is missing'
    step "starting $name with tag $tag"
    demo_host start "$name" --tag "$tag" --app-values "$DM_APP_VALUES" --staging-values "$DM_STAGING_VALUES" \
        "${overrides[@]}" || fail "$name does not start: $answer"
    step "$name answers at $(fact url)"
}
