# shellcheck shell=bash
# What ends a job whose batch script is lost, to be sourced by forge.sbatch: a guard on every other node of the job.
#
# With --no-kill Slurm lets a job live when the node of its batch script is lost, and nobody would ever end it. A guard
# is one task of a job step of its own. It is carried by slurmstepd, which the slurmd of its node started; nothing of it
# is on the batch node, not even srun: srun, and the helper by which every srun kills its step when it dies itself, are
# ended on purpose as soon as the guards have answered. So the loss of the batch node, at once or in pieces, changes
# nothing for a guard. The end of the job ends it, as any step.

# guard JOB NODE RESTARTS PERIOD, on another node: requeues the job when it runs without NODE, on which its script ran.
guard() {
  local job hosts refused=0
  trap '' USR1 # asks the run to save
  echo guarding
  exec </dev/null >/dev/null 2>&1 # srun, which would read it, ends now
  sleep "$((SLURM_PROCID % $4))" # the guards ask in turn
  while sleep "$4"; do
    job=$(scontrol -o show job "$1") || continue
    [[ " $job " == *" Restarts=$3 "* ]] || return # it was started again: another guard's business
    [[ " $job " == *" JobState=RUNNING "* && $job =~ \ NodeList=([^ ]+) ]] || continue
    hosts=$(scontrol show hostnames "${BASH_REMATCH[1]}") && [[ $hosts ]] || continue
    grep -qxF "$2" <<<"$hosts" && continue
    grep -qxF "$SLURMD_NODENAME" <<<"$hosts" || return # this node is not the job's any more
    # Where users may not requeue the job ends, for the next one of its chain.
    scontrol requeue "$1" || ((++refused < 6)) || scancel "$1"
  done
}

# start_guards: one step with a guard on each other node that the job still has; returns 1 if they did not start.
start_guards() {
  local hosts others list period answer step answers=0 line
  hosts=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%N) && hosts=$(scontrol show hostnames "$hosts") || return 1
  mapfile -t others < <(grep -vxF "$SLURMD_NODENAME" <<<"$hosts")
  ((${#others[@]})) || return 0 # a job of one node is requeued by Slurm itself
  list=$(IFS=, && echo "${others[*]}")
  # However many they are, the controller is asked every two seconds at most.
  ((period = 2 * ${#others[@]}, period >= 10)) || period=10
  # A process group of its own, so that srun and its helper die in one instant.
  exec {answer}< <(
    SLURM_CPU_BIND=none exec setsid srun --job-name=forge-guard --overlap --no-kill --mpi=none --input=none \
      --nodes="${#others[@]}" --ntasks="${#others[@]}" --ntasks-per-node=1 --nodelist="$list" \
      bash -c "$(declare -f guard); guard \"\$@\"" guard "$SLURM_JOB_ID" "$SLURMD_NODENAME" \
      "${SLURM_RESTART_COUNT:-0}" "$period" 2>/dev/null
  )
  step=$!
  while ((answers < ${#others[@]})) && read -rt 60 line <&"$answer"; do
    [[ $line != guarding ]] || ((answers += 1))
  done
  if ((answers < ${#others[@]})); then
    kill -TERM "$step" 2>/dev/null # srun ends what has started
    sleep 5
  fi
  kill -KILL -- -"$step" 2>/dev/null
  exec {answer}<&-
  ((answers == ${#others[@]}))
}

# keep_guards: starts guards, and others whenever there are none; does not return.
keep_guards() {
  local steps
  trap '' USR1
  while :; do
    # Where the controller does not answer nothing is known.
    steps=$(squeue --noheader --steps --jobs="$SLURM_JOB_ID" --format=%j) || steps=forge-guard
    grep -qxF forge-guard <<<"$steps" || start_guards || say "no other node guards this one yet"
    sleep 20
  done
}
