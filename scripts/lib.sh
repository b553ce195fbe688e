# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What every script here shares: messages, the cache, and a long command with progress.
#
# The cache. An entry is a directory (or file) whose name ends in a hash of everything that went into it. It is
# built in a stage beside its final place, under a lock of its own, and renamed when it is whole; so whatever has
# the entry's name is complete, a second run waits for the first and then finds its work, and a run that was
# killed leaves a stage that the next holder of the lock removes. Children inherit the lock's descriptor: it is
# free only when nobody writes to the stage any more.
#
# To be sourced after `set -eu`, by a script that has put its own directory into $here.

# The result must not depend on who builds it, or where.
umask 022
unset CDPATH
export LC_ALL=C TZ=UTC

: "${here:?lib.sh is sourced by the scripts beside it}"
# shellcheck disable=SC2034  # for the scripts that source this file
top=$(dirname "$here")
program=${0##*/}
cache=${HAWSER_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME, or HAWSER_CACHE to a directory}/.cache}/hawser}
case $cache in
/*) ;;
*) cache=$PWD/$cache ;;
esac
stage=
job=
on_finish=

say()
{
	printf '%s: %s\n' "$program" "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# A wrong command line is the caller's mistake, not the machine's: another exit status.
die_usage()
{
	say "$* (see $program --help)"
	exit 2
}

# option_value OPTION COUNT: dies unless a word is left behind the option.
option_value()
{
	[ "$2" -ge 2 ] || die_usage "option $1 needs a value"
}

# need COMMAND PACKAGE
need()
{
	command -v "$1" >/dev/null || die "the command '$1' is missing: install the Debian package $2, or run scripts/deps"
}

# absolute PATH: the path without a dependence on the current directory; what it names must exist.
absolute()
{
	realpath -e -- "$1" 2>/dev/null || die "no such file or directory: $1"
}

# digest: 16 hexadecimal digits that stand for what comes in on standard input.
digest()
{
	sha256sum | cut -c 1-16
}

# digest_files FILE...: the same for the contents of files. Their names do not count, their order does.
digest_files()
{
	sha256sum -- "$@" | cut -d ' ' -f 1 | digest
}

# Runs however a script ends; a script's own part of it is the function that $on_finish names.
finish()
{
	status=$?
	trap - EXIT
	if [ -n "$job" ]; then
		kill "$job" 2>/dev/null || :
		wait "$job" 2>/dev/null || :
		rm -f -- "$run_log"
	fi
	[ -z "$stage" ] || rm -rf -- "$stage"
	[ -z "$on_finish" ] || "$on_finish"
	exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

cache_lock_file()
{
	printf '%s/lock/%s' "$cache" "$(printf %s "$1" | tr / _)"
}

# cache_lock NAME: one run at a time comes past here with the same name.
cache_lock()
{
	mkdir -p -- "$cache/lock" "$(dirname "$cache/$1")" ||
		die "cannot make the cache directory $cache: set HAWSER_CACHE to another"
	exec 9>"$(cache_lock_file "$1")"
	if ! flock -n 9; then
		say "waiting for another run that makes $1"
		flock 9
	fi
}

# cache_stage NAME: makes the directory $stage. The lock of that name must be held. Stages that killed runs left
# behind, of this name or of others, go.
cache_stage()
{
	rm -rf -- "$cache/$1".stage.*
	for stage_old in "$cache/${1%/*}"/*.stage.*; do
		[ -d "$stage_old" ] || continue
		stage_name=${1%/*}/${stage_old##*/}
		(! flock -n 8 || rm -rf -- "$stage_old") 8>"$(cache_lock_file "${stage_name%.stage.*}")"
	done
	stage=$(mktemp -d -- "$cache/$1.stage.XXXXXX")
	chmod 755 -- "$stage"
}

# cache_open NAME: true when the entry is there, false when the caller shall fill $stage and call cache_close.
# $entry is the entry's path.
cache_open()
{
	entry=$cache/$1
	[ ! -e "$entry" ] || return 0
	cache_lock "$1"
	if [ -e "$entry" ]; then
		exec 9>&-
		return 0
	fi
	cache_stage "$1"
	return 1
}

# cache_close PATH: the stage, or just something in it, becomes $entry, if no other run made that meanwhile.
cache_close()
{
	[ -e "$entry" ] || mv -T -- "$1" "$entry"
	rm -rf -- "$stage"
	stage=
	exec 9>&-
}

progress_show()
{
	if [ -t 2 ]; then
		printf '\r%s: %s: %3d %%' "$program" "$1" "$2" >&2
	elif [ "$2" -ge "$progress_next" ]; then
		say "$1: $2 %"
		progress_next=$(($2 / 10 * 10 + 10))
	fi
}

# run_long NAME STEPS COMMAND...: runs the command with its output in a log, one line a step, and shows how far it is.
# STEPS is a guess that the count of the last run replaces. The log of a failure stays.
run_long()
{
	run_name=$1
	run_steps=$2
	shift 2
	mkdir -p -- "$cache/log"
	run_log=$cache/log/$run_name-$$.log
	: >"$run_log"
	[ ! -s "$cache/log/$run_name.steps" ] || read -r run_steps <"$cache/log/$run_name.steps"
	progress_next=0

	"$@" >"$run_log" 2>&1 </dev/null &
	job=$!
	run_ticks=0
	while kill -0 "$job" 2>/dev/null; do
		if [ $((run_ticks % 10)) -eq 0 ]; then
			run_done=$(wc -l <"$run_log")
			[ "$run_done" -lt "$run_steps" ] || run_done=$((run_steps - 1))
			progress_show "$run_name" $((run_done * 100 / run_steps))
		fi
		run_ticks=$((run_ticks + 1))
		sleep 0.2
	done
	run_status=0
	wait "$job" || run_status=$?
	job=
	[ ! -t 2 ] || printf '\n' >&2
	if [ "$run_status" -ne 0 ]; then
		tail -n 30 -- "$run_log" >&2
		die "$run_name failed with status $run_status; the whole log is $run_log"
	fi
	wc -l <"$run_log" >"$cache/log/$run_name.steps"
	rm -f -- "$run_log"
}
