import Testing

@testable import MPI

@Suite struct LaunchEnvironmentTests {
  private func environment(_ variables: [String: String]) -> LaunchEnvironment {
    LaunchEnvironment { variables[$0] }
  }

  @Test func mpirun() {
    let environment = environment([
      "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
      "OMPI_COMM_WORLD_LOCAL_SIZE": "4", "SLURM_STEP_NUM_TASKS": "2", "PMIX_RANK": "5",
    ])
    #expect(environment.launcher == .mpirun)
    #expect(environment.rank == 5)
    #expect(environment.size == 8)
    #expect(environment.localRank == 1)
    #expect(environment.localSize == 4)
  }

  @Test func srun() {
    let environment = environment([
      "SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "4", "SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1,4(x2),3",
      "PMIX_RANK": "4",
    ])
    #expect(environment.launcher == .srun)
    #expect(environment.hasProcessManager)
    #expect(environment.rank == 4)
    #expect(environment.size == 6)
    #expect(environment.localRank == 0)
    #expect(environment.localSize == 4)
  }

  @Test func srunWithoutMPI() {
    let environment = environment(["SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"])
    #expect(environment.launcher == .srun)
    #expect(!environment.hasProcessManager)
  }

  @Test func whatToTypeInAStep() {
    let one = environment(["SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"])
    let line = ["forge-dist", "my run.yaml", "--set", "run.name=it's"]
    let typed = one.refusal(arguments: line, isTask: false, isInteractive: false)
    #expect(typed?.hasSuffix(#"type: mpirun -n 1 forge-dist 'my run.yaml' --set 'run.name=it'\''s'"#) == true)
    #expect(typed?.contains("--mpi") == false)
    #expect(one.refusal(arguments: line, isTask: true, isInteractive: false)?.contains("--mpi=pmix") == true)
    let four = environment(["SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"])
    #expect(four.refusal(arguments: line, isTask: false, isInteractive: false)?.contains("--mpi=pmix") == true)
    #expect(four.refusal(arguments: line, isTask: false, isInteractive: true)?.contains("mpirun -n 4") == true)
    for fine in [environment([:]), environment(["SLURM_STEP_NUM_TASKS": "1", "PMIX_RANK": "0"])] {
      #expect(fine.refusal(arguments: line, isTask: true, isInteractive: true) == nil)
    }
  }

  @Test func alone() {
    // A shell inside a Slurm allocation has no step of several tasks.
    for variables in [[:], ["SLURM_NTASKS": "4", "SLURM_PROCID": "0"]] {
      let environment = environment(variables)
      #expect(environment.launcher == .none)
      #expect(environment.size == 1)
      #expect(environment.localSize == 1)
    }
  }
}

@Suite struct RankCountsTests {
  @Test func contiguous() {
    let layout = RankCounts(contiguous: [3, 0, 4])
    #expect(layout.offsets == [0, 3, 3])
    #expect(layout.extent == 7)
    #expect(layout.range(of: 2) == 3..<7)
  }

  @Test func anEmptyRangeTouchesNothing() {
    #expect(RankCounts(counts: [2, 0], offsets: [0, 50]).extent == 2)
  }

  @Test func beyondMPIsCounts() {
    let large = RankCounts(contiguous: [1 << 31, 5])
    #expect(large.extent == 1 << 31 + 5)
    #expect(large.mpiCounts == nil)
  }
}
