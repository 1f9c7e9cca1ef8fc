# Keeps one server of the devstack: starts it, and stops it when the process that started us is gone, however it went.
# That process holds the other end of our stdin and writes nothing, so the end of stdin is its end.
#
# usage: sh guard.sh SIGNAL SECONDS COMMAND...
#   SIGNAL   stops the server cleanly
#   SECONDS  after these it is killed
# Writes the server's process id to stdout; stderr is the server's log.

signal=$1
seconds=$2
shift 2
exec 3<&0
# When that process ends while the server is paused, the system hangs up on all of us.
trap '' HUP

"$@" </dev/null >&2 3<&- &
server=$!

# A paused PostgreSQL has paused children, which never notice that their server is gone.
children() {
    cat "/proc/$server/task/$server/children" 2>/dev/null ||
        ps -A -o ppid= -o pid= | while read -r parent child; do
            if [ "$parent" = "$server" ]; then echo "$child"; fi
        done
}

(
    read -r _ <&3
    kill -CONT $(children) "$server"
    kill -"$signal" "$server"
    tenths=$((seconds * 10))
    while [ "$tenths" -gt 0 ] && kill -0 "$server"; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    kill -KILL $(children) "$server"
) >/dev/null 2>&1 &
watcher=$!

# Only now: when nobody reads it any more, this ends us, and the watcher is there to stop the server.
echo "$server"
exec >&2 3<&-

wait "$server"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
