# playloop's words in fish: playloop completion fish | source
function __playloop_words
    set -l words (commandline -opc)
    playloop __complete fish $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c playloop -f -a '(__playloop_words)'
