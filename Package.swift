// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "forge-dist",
  // Every room that others may build on; the compiler links what they use.
  products: [
    "Batches", "Checkpoints", "Configuration", "Datasets", "Diagnostics", "Engine", "Formats", "Generation", "Kernels",
    "MPI", "Models", "Objectives", "Optimizers", "Parallelism", "Placement", "Planning", "Pretrained", "RunStore",
    "Settings", "Tokenizers",
  ].map { .library(name: $0, targets: [$0]) },
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // System libraries: headers and macro accessors only.
    .systemLibrary(name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CGumbo", pkgConfig: "gumbo", providers: [.apt(["libgumbo-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),

    // Bottom: errors, settings, numbers, messages, files.
    .target(name: "Diagnostics"),
    .target(name: "Digests", dependencies: ["CLibCrypto", "Diagnostics"]),
    .target(name: "Configuration", dependencies: ["Diagnostics", "Yams"]),
    .target(name: "CKernels", exclude: ["kernels.inc"]),
    .target(name: "Kernels", dependencies: ["CKernels", "Diagnostics"]),
    .target(
      name: "MPI", dependencies: ["COpenMPI", "Diagnostics"],
      // A request borrows its buffers: the compiler keeps them alive and untouched until it is complete.
      swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
    .target(name: "Formats", dependencies: ["Diagnostics", "Digests"]),
    .target(name: "Checkpoints", dependencies: ["CZstd", "Diagnostics", "Digests", "Formats"]),
    // The files of a run's directory, for who writes and who reads them: without MPI.
    .target(
      name: "RunStore", dependencies: ["Checkpoints", "Configuration", "Diagnostics", "Digests", "Formats"]),

    // Models and data, which know nothing of ranks.
    .target(name: "Batches", dependencies: ["Digests", "Kernels"]),
    .target(name: "Objectives", dependencies: ["Batches", "Kernels"]),
    .target(name: "Models", dependencies: ["Batches", "Configuration", "Diagnostics", "Kernels", "Objectives"]),
    .target(name: "Optimizers", dependencies: ["Kernels"]),
    .target(
      name: "Pretrained",
      dependencies: [
        "Checkpoints", "Configuration", "Datasets", "Diagnostics", "Formats", "Kernels", "Models", "Tokenizers",
      ]),
    .target(name: "Datasets", dependencies: ["Batches", "Diagnostics", "Digests", "Formats"]),
    .target(name: "Tokenizers", dependencies: ["Diagnostics", "Digests", "Formats"]),
    // Bytes of a page, a notebook or a text in any encoding become readable text; knows of no files and no datasets.
    .target(name: "DocumentText", dependencies: ["CGumbo", "CZlib"]),
    .target(
      name: "Documents",
      dependencies: ["Datasets", "Diagnostics", "Digests", "DocumentText", "Formats", "Tokenizers"]),
    .target(name: "Generation", dependencies: ["Batches", "Kernels", "Models"]),

    // What a run is to do, who owns what in it, and what that will cost: arithmetic, without MPI.
    .target(
      name: "Settings",
      dependencies: [
        "Configuration", "Datasets", "Diagnostics", "Models", "Optimizers", "Placement", "Pretrained",
      ]),
    .target(name: "Placement", dependencies: ["Models"]),
    .target(
      name: "Planning",
      dependencies: [
        "Batches", "Checkpoints", "Diagnostics", "Kernels", "Models", "Objectives", "Optimizers", "Placement",
        "Settings",
      ]),

    // Ranks, and the loop.
    .target(
      name: "Parallelism",
      dependencies: ["Checkpoints", "Diagnostics", "Kernels", "MPI", "Models", "Optimizers", "Placement"]),
    .target(
      name: "Engine",
      dependencies: [
        "Batches", "Diagnostics", "Kernels", "MPI", "Models", "Objectives", "Optimizers", "Parallelism", "Placement",
        "Settings",
      ]),
    .target(
      name: "Training",
      dependencies: [
        "Batches", "Checkpoints", "Configuration", "Datasets", "Diagnostics", "Digests", "Engine", "Formats", "Kernels",
        "MPI", "Models", "Objectives", "Optimizers", "Parallelism", "Placement", "Planning", "Pretrained", "RunStore",
        "Settings", "Tokenizers",
      ]),

    // What a finished run says, without MPI.
    .target(name: "Reporting", dependencies: ["Diagnostics", "RunStore"]),

    .executableTarget(
      name: "forge-dist",
      dependencies: [
        "Configuration", "Diagnostics", "Kernels", "MPI", "Settings", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    // No MPI here: it runs on machines that have none.
    .executableTarget(
      name: "forge",
      dependencies: [
        "Checkpoints", "Datasets", "Diagnostics", "Documents", "Formats", "Generation", "Kernels", "Models", "Planning",
        "Pretrained", "Reporting", "RunStore", "Settings", "Tokenizers",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "Diagnostics"], exclude: ["Fixtures"]),
    .testTarget(name: "ConfigurationTests", dependencies: ["Configuration", "Diagnostics"]),
    .testTarget(name: "DatasetsTests", dependencies: ["Batches", "Datasets", "Diagnostics", "Digests", "Formats"]),
    .testTarget(name: "DiagnosticsTests", dependencies: ["Diagnostics"]),
    .testTarget(name: "DigestsTests", dependencies: ["Digests"]),
    .testTarget(name: "DocumentTextTests", dependencies: ["DocumentText"], exclude: ["Fixtures"]),
    .testTarget(
      name: "DocumentsTests",
      dependencies: ["Datasets", "Diagnostics", "DocumentText", "Documents", "Formats", "Tokenizers"]),
    .testTarget(name: "FormatsTests", dependencies: ["Diagnostics", "Digests", "Formats"], exclude: ["Fixtures"]),
    .testTarget(name: "KernelsTests", dependencies: ["CKernels", "Kernels"]),
    .testTarget(
      name: "GenerationTests", dependencies: ["Configuration", "Formats", "Generation", "Kernels", "Models"]),
    .testTarget(name: "MPITests", dependencies: ["MPI"]),
    .testTarget(
      name: "ModelsTests",
      dependencies: ["Batches", "Configuration", "Diagnostics", "Formats", "Kernels", "Models", "Objectives"],
      exclude: ["Fixtures"]),
    .testTarget(name: "ObjectivesTests", dependencies: ["Batches", "Kernels", "Objectives"]),
    .testTarget(name: "OptimizersTests", dependencies: ["Kernels", "Optimizers"], exclude: ["Fixtures"]),
    .testTarget(
      name: "ParallelismTests",
      dependencies: ["Batches", "Checkpoints", "Configuration", "Kernels", "Models", "Objectives", "Parallelism"]),
    .testTarget(
      name: "PretrainedTests", dependencies: ["Configuration", "Formats", "Kernels", "Models", "Pretrained"]),
    .testTarget(name: "PlacementTests", dependencies: ["Configuration", "Models", "Placement"]),
    .testTarget(
      name: "PlanningTests",
      dependencies: ["Configuration", "Diagnostics", "Models", "Placement", "Planning", "Settings"]),
    // Ranks as threads: what Tests/Distributed runs under mpirun too (Contract, by a link there), and whole steps.
    .testTarget(
      name: "RanksTests",
      dependencies: [
        "Batches", "Configuration", "Diagnostics", "Engine", "Kernels", "MPI", "Models", "Objectives", "Optimizers",
        "Parallelism", "Placement", "Planning", "Settings",
      ],
      swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
    .testTarget(name: "ReportingTests", dependencies: ["Diagnostics", "Reporting"]),
    .testTarget(
      name: "RunStoreTests", dependencies: ["Checkpoints", "Diagnostics", "Formats", "RunStore"]),
    .testTarget(name: "SettingsTests", dependencies: ["Configuration", "Diagnostics", "Models", "Settings"]),
    .testTarget(name: "TokenizersTests", dependencies: ["Diagnostics", "Tokenizers"], exclude: ["Fixtures"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: ["Batches", "Checkpoints", "Diagnostics", "MPI", "Placement", "Settings", "Training"]),
  ]
)

// Programs that only we run, so that a first build need not wait for them.
if Context.environment["FORGE_DEVELOPMENT"] != nil {
  package.targets += [
    // Run by scripts/settings-pages.
    .executableTarget(name: "settings-pages", dependencies: ["Configuration", "Settings"]),

    // Run under mpirun by Tests/Distributed/run.
    .executableTarget(
      name: "mpi-tests",
      dependencies: [
        "Batches", "Configuration", "Diagnostics", "Engine", "Kernels", "MPI", "Models", "Objectives", "Optimizers",
        "Parallelism", "Placement",
      ],
      path: "Tests/Distributed",
      exclude: ["run"], swiftSettings: [.enableExperimentalFeature("Lifetimes")]),

    // Run by scripts/test. They are what another package would write with the products above.
    .executableTarget(
      name: "score-and-generate", dependencies: ["Configuration", "Generation", "Kernels", "Models"],
      path: "Examples/ScoreAndGenerate"),
    .executableTarget(
      name: "train-on-two-ranks",
      dependencies: [
        "Batches", "Configuration", "Engine", "Kernels", "MPI", "Models", "Objectives", "Optimizers", "Placement",
      ],
      path: "Examples/TrainOnTwoRanks"),
  ]
}

// Coverage-guided fuzzing, built apart by scripts/fuzz: the code under test as one static library for libFuzzer.
if Context.environment["FORGE_FUZZ"] != nil {
  package.products.append(.library(name: "FuzzTargets", type: .static, targets: ["FuzzTargets"]))
  package.targets.append(
    .target(
      name: "FuzzTargets",
      dependencies: [
        "Checkpoints", "Configuration", "Datasets", "Digests", "DocumentText", "Formats", "Models", "Pretrained",
        "Settings", "Tokenizers",
      ],
      path: "Tests/Fuzz/Targets"))
}
