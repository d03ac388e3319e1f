# bash completion of heapray. Verbs and options are asked of heapray itself, so they are never out of step.
_heapray()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} help verbs
    COMPREPLY=()
    case $prev in
    --fail-on) mapfile -t COMPREPLY < <(compgen -W 'note warning error' -- "$cur"); return ;;
    --by) mapfile -t COMPREPLY < <(compgen -W 'type line file traceback' -- "$cur"); return ;;
    --color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur"); return ;;
    --state) mapfile -t COMPREPLY < <(compgen -W 'used cached free' -- "$cur"); return ;;
    --format) mapfile -t COMPREPLY < <(compgen -W 'text json sarif junit' -- "$cur"); return ;;
    --sysroot | --debug-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    --only | --set | --arch | --endian | --assume | --type | --limit | -n) return ;;
    esac
    if [[ $cur == -* ]]; then
        help=$("${COMP_WORDS[0]}" --help 2>/dev/null)
        mapfile -t COMPREPLY < <(compgen -W "$(grep -oE '^ +(-., )?--[a-z-]+' <<<"$help" | grep -oE -- '--[a-z-]+')" -- "$cur")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    if ((COMP_CWORD == 1)); then
        verbs=$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n '/^verbs:/,/^$/s/^  \([a-z]\+\).*/\1/p')
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$verbs" -- "$cur")
    fi
}
complete -o filenames -F _heapray heapray
