# bash completion for evtrace: commands, options, and what options take. The options here are checked against
# --help by tools/check-man.

_evtrace_states='sent confirmed returned queued delivered acked requeued rejected dead-lettered expired purged unknown
	waiting unsettled done dead'

_evtrace_options() {
	local opts=
	case $1 in
	record) opts='--pid --cgroup --comm --all --port --exclude-pid --exclude-comm --exclude-port --store --raw --no-store --user --payload-limit --ring' ;;
	import) opts='--store --payload-limit' ;;
	export) opts='--pcap' ;;
	find) opts='--limit --before --since --until --json --store' ;;
	show) opts='--raw --json --store' ;;
	where) opts='--why --limit --json --store' ;;
	flow) opts='--limit --json --store' ;;
	queues) opts='--since --until --all --json --store' ;;
	tail) opts='--since --limit --json --store' ;;
	replay) opts='--yes --dry-run --to --again --reason --rate --limit --broker --vhost --credentials --json --store' ;;
	status) opts='--verify --limit --json --store' ;;
	doctor) opts='--store --json' ;;
	sql) opts='--json --store' ;;
	version) opts='--json' ;;
	esac
	echo "$opts --help"
}

_evtrace() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]} i
	COMPREPLY=()

	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "$(evtrace help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p') help" -- "$cur"))
		return
	fi
	# behind "record --" stands somebody else's command
	if [ "$cmd" = record ]; then
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [ "${COMP_WORDS[i]}" = -- ]; then
				if declare -F _command_offset >/dev/null; then
					_command_offset $((i + 1))
				else
					compopt -o default 2>/dev/null
				fi
				return
			fi
		done
	fi
	case $prev in
	--store | --raw | --credentials | --pcap) compopt -o default 2>/dev/null; return ;;
	--user) COMPREPLY=($(compgen -u -- "$cur")); return ;;
	--pid | --exclude-pid) COMPREPLY=($(compgen -W "$(ps -eo pid= 2>/dev/null)" -- "$cur")); return ;;
	--comm | --exclude-comm) COMPREPLY=($(compgen -W "$(ps -eo comm= 2>/dev/null)" -- "$cur")); return ;;
	--since | --until) COMPREPLY=($(compgen -W '5min 1h 1d' -- "$cur")); return ;;
	--cgroup | --port | --exclude-port | --payload-limit | --ring | --limit | --before) return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$(_evtrace_options "$cmd")" -- "$cur"))
		return
	fi
	case $cmd in
	import | export) compopt -o default 2>/dev/null ;;
	help) COMPREPLY=($(compgen -W "$(evtrace help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')" -- "$cur")) ;;
	find | tail | replay | show | where | flow)
		if [ "$prev" = state: ] || { [ "$prev" = : ] && [ "${COMP_WORDS[COMP_CWORD - 2]}" = state ]; }; then
			COMPREPLY=($(compgen -W "$_evtrace_states" -- "$cur"))
			return
		fi
		COMPREPLY=($(compgen -W 'service: queue: exchange: topic: key: state: id: since: until: has:' -- "$cur"))
		[[ ${COMPREPLY[0]} != *: ]] || compopt -o nospace 2>/dev/null
		;;
	esac
}

complete -F _evtrace evtrace
