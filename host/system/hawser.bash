# SPDX-License-Identifier: MIT
# Completion for hawser(1) and hawserd(8). What there is to complete, the programs say themselves, by --help.

_hawser_options()
{
	"$@" --help 2>/dev/null </dev/null | grep -oE -- '(^| )--[a-z][a-z-]*' | sort -u
}

# Of the hawserd that the words so far name.
_hawser_machines()
{
	local i of=()

	for ((i = 2; i + 1 < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} != --runtime ]] || of=(--runtime "${COMP_WORDS[i + 1]}")
	done
	hawser status --json "${of[@]}" 2>/dev/null </dev/null | grep -oE '"vm": ?"[^"]*"' | cut -d '"' -f 4
}

_hawser()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
	local -a of

	case $before in
	hawser) of=(-W "$(hawser --help | sed -n 's/^  \([a-z]*\)  .*/\1/p') --help --version") ;;
	--runtime) of=(-d) ;;
	--kernel | --initrd | --log | --output | -o) of=(-f) ;;
	--accel) of=(-W 'auto kvm tcg') ;;
	--vsock) of=(-W 'device vhost') ;;
	--stream) of=(-W 'init kernel console syslog stdout stderr hawserd') ;;
	--priority) of=(-W 'emerg alert crit err warning notice info debug') ;;
	*)
		case $command:$word in
		*:-*) of=(-W "$(_hawser_options hawser "$command")") ;;
		run:* | check:*) of=(-d) ;;
		*) of=(-W "$(_hawser_machines)") ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen "${of[@]}" -- "$word")
}

_hawserd()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}

	case $before in
	--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	--vms | --state | --runtime) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	--log-level) mapfile -t COMPREPLY < <(compgen -W 'error warn info debug' -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$(_hawser_options hawserd)" -- "$word") ;;
	esac
}

complete -o filenames -F _hawser hawser
complete -F _hawserd hawserd
