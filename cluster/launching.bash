# shellcheck shell=bash
# What cluster/launch and cluster/forge.sbatch share, to be sourced: one start of the launcher and what its end means.

asked='' code=0
trap 'asked=USR1' USR1
trap 'asked=TERM' TERM INT

# launch_once OPTION… PROGRAM ARGUMENT…: runs it to its end and sets `code`; `asked` says whether SIGUSR1, SIGTERM or
# SIGINT arrived meanwhile, which it passes on.
launch_once() {
  local job='' interrupted=1 launcher
  case ${FORGE_LAUNCHER:-mpirun} in
    mpirun) launcher=(mpirun) ;;
    srun) launcher=(srun --mpi=pmix --kill-on-bad-exit=1) ;;
    *) echo "launch: FORGE_LAUNCHER is '$FORGE_LAUNCHER'; use mpirun or srun" >&2 && code=64 && return ;;
  esac
  trap 'asked=USR1 interrupted=1; [[ -z $job ]] || kill -USR1 "$job" 2>/dev/null' USR1
  trap 'asked=TERM interrupted=1; [[ -z $job ]] || kill -TERM "$job" 2>/dev/null' TERM INT
  "${launcher[@]}" "$@" &
  job=$!
  [[ -z $asked ]] || kill -"$asked" "$job" 2>/dev/null # it came before there was anybody to pass it on to
  # A trapped signal interrupts wait before the job has ended.
  while [[ $interrupted ]]; do
    interrupted=''
    wait "$job"
    code=$?
  done
  trap 'asked=USR1' USR1
  trap 'asked=TERM' TERM INT
  case $code in
    0 | 64 | 70 | 75) ;;
    126 | 127) ;; # there is no such program
    132 | 133 | 134 | 139) # SIGILL, SIGTRAP, SIGABRT, SIGSEGV
      echo "launch: ${launcher[0]} ended with $code: a rank crashed, which is a bug in forge-dist" >&2
      code=70
      ;;
    1 | 2) [[ -z $asked ]] || code=75 ;; # it could not start the job, or SIGTERM ended it
    *)
      [[ $asked ]] || echo "launch: ${launcher[0]} ended with $code: a rank or a node was lost" >&2
      code=75
      ;;
  esac
}
