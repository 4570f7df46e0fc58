#compdef playloop
# playloop's words in zsh, after compinit: eval "$(playloop completion zsh)"
_playloop() {
    local line value
    local -a open open_said whole whole_said
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ $value == *[=/.] ]]; then
            open+=("$value"); open_said+=("${line/$'\t'/  -- }")
        else
            whole+=("$value"); whole_said+=("${line/$'\t'/  -- }")
        fi
    done < <(playloop __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    (( $#open )) && compadd -S '' -l -d open_said -a open
    (( $#whole )) && compadd -l -d whole_said -a whole
}
compdef _playloop playloop
