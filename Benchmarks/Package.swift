// swift-tools-version: 6.2
import PackageDescription

// Benchmarks, in a package of their own, so that neither a first build nor scripts/test waits for them.
// scripts/build-benchmarks builds them into .build/benchmarks of the repository.
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

/// Rooms of the repository's own package.
func rooms(_ names: String...) -> [Target.Dependency] { names.map { .product(name: $0, package: "forge-dist") } }

let package = Package(
  name: "benchmarks",
  dependencies: [
    .package(name: "forge-dist", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    // Run by scripts/benchmark-kernels.
    .executableTarget(
      name: "kernel-benchmark", dependencies: rooms("Kernels", "Support") + [argumentParser],
      path: "KernelBenchmark"),

    // Run under mpirun by scripts/benchmark-exactness.
    .executableTarget(
      name: "step-benchmark",
      dependencies: rooms(
        "Batches", "Engine", "Kernels", "Models", "MPI", "Objectives", "Optimizers", "Parallelism", "RunConfiguration",
        "Sharding", "Support") + [argumentParser],
      path: "StepBenchmark"),

    // Run by scripts/benchmark-checkpoint.
    .executableTarget(
      name: "checkpoint-benchmark", dependencies: rooms("Checkpoints", "Support") + [argumentParser],
      path: "CheckpointBenchmark"),
  ]
)
