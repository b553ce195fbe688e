# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# Configurations in the manner of the kernel's, which BusyBox shares: what is asked for, and whether it came true.
# To be sourced after lib.sh.

# config_merge FILE...: what the fragments ask for, one "option, line, fragment" per line, tab between. The last
# fragment that speaks of an option wins.
config_merge()
{
	awk '
		/^CONFIG_[A-Za-z0-9_]+=/ { option = $0; sub(/=.*/, "", option) }
		/^# CONFIG_[A-Za-z0-9_]+ is not set$/ { option = $2 }
		option {
			line[option] = $0
			file[option] = FILENAME
			sub(/.*\//, "", file[option])
			option = ""
			next
		}
		!/^#/ && NF {
			printf "%s:%d: neither an option nor a comment: %s\n", FILENAME, FNR, $0 >"/dev/stderr"
			bad = 1
			exit
		}
		END {
			if (bad)
				exit 1
			for (option in line)
				printf "%s\t%s\t%s\n", option, line[option], file[option]
		}
	' "$@" | sort
}

# config_lost WISHES CONFIG: prints the wishes that did not come true.
config_lost()
{
	awk -F '\t' '
		NR == FNR { wish[$1] = $2; file[$1] = $3; next }
		{
			option = $0
			sub(/=.*/, "", option)
			if (option ~ /^CONFIG_/)
				value[option] = $0
		}
		END {
			for (option in wish) {
				off = wish[option] ~ /^#/ || wish[option] ~ /=n$/
				got = option in value ? value[option] : option " is not set"
				if (off ? option in value : got != wish[option])
					printf "  %s (%s): got %s\n", wish[option], file[option], got
			}
		}
	' "$1" "$2" | sort
}

# config_check WISHES CONFIG NAME: dies if a wish did not come true, and names all of those.
config_check()
{
	lost=$(config_lost "$1" "$2")
	[ -z "$lost" ] || die "options that $3 does not know, or whose dependencies are off:
$lost"
}

# source_id TREE: stands for the tree's contents. Other people's trees change: theirs is the list of files and times.
source_id()
{
	if [ -f "$1/.hawser-source" ]; then
		cat "$1/.hawser-source"
	else
		(cd "$1" && find . -name .git -prune -o -type f -printf '%P %s %T@\n' | sort | digest)
	fi
}
