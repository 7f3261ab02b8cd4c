# The command that ssh passes to a host's login shell. It takes host.sh from stdin, up to its last line, and runs it with the rest.
# sh, bash, csh and fish read it alike, since it is one line and has neither ! nor a quote within its quotes.
exec sh -c 'eval "$(while IFS= read -r line; do case $line in ("# end of host.sh") break ;; esac; printf "%s\n" "$line"; done)"'
