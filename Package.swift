// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "forge-dist",
  // Every room that others may build on; the compiler links what they use.
  products: [
    "Batches", "Buffers", "Checkpoints", "Commands", "ConfigurationFiles", "Datasets", "Diagnostics", "Engine",
    "Formats", "Inference", "Kernels", "MPI", "ModelFiles", "Models", "Objectives", "Optimizers", "Parallelism",
    "Planning", "RunConfiguration", "RunStore", "Sharding", "Support", "Tokenizers",
  ].map { .library(name: $0, targets: [$0]) },
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  // By floors: a room imports from its own floor and from those below. System libraries are headers and macro accessors.
  targets: [
    // Support: errors, JSON, hashes, threads, the system; configuration files; the flight recorder.
    .systemLibrary(
      name: "CLibCrypto", path: "Sources/0-Support/CLibCrypto", pkgConfig: "libcrypto",
      providers: [.apt(["libssl-dev"])]),
    .target(name: "Support", dependencies: ["CLibCrypto"], path: "Sources/0-Support/Support"),
    .target(
      name: "ConfigurationFiles", dependencies: ["Support", "Yams"], path: "Sources/0-Support/ConfigurationFiles"),
    .target(name: "Diagnostics", dependencies: ["Support"], path: "Sources/0-Support/Diagnostics"),

    // Numerics: arithmetic on one machine, which knows nothing of ranks.
    .target(name: "CKernels", path: "Sources/1-Numerics/CKernels", exclude: ["kernels.inc", "products.inc"]),
    .target(name: "Buffers", dependencies: ["Support"], path: "Sources/1-Numerics/Buffers"),
    .target(name: "Kernels", dependencies: ["Buffers", "CKernels", "Support"], path: "Sources/1-Numerics/Kernels"),
    .target(name: "Batches", dependencies: ["Buffers", "Support"], path: "Sources/1-Numerics/Batches"),
    .target(name: "Objectives", dependencies: ["Batches", "Kernels"], path: "Sources/1-Numerics/Objectives"),
    .target(
      name: "Models", dependencies: ["Batches", "ConfigurationFiles", "Kernels", "Objectives", "Support"],
      path: "Sources/1-Numerics/Models"),
    .target(name: "Optimizers", dependencies: ["Kernels"], path: "Sources/1-Numerics/Optimizers"),

    // Data: files of others, texts and tokens.
    .systemLibrary(
      name: "CGumbo", path: "Sources/2-Data/CGumbo", pkgConfig: "gumbo", providers: [.apt(["libgumbo-dev"])]),
    .systemLibrary(name: "CZlib", path: "Sources/2-Data/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "Formats", dependencies: ["Support"], path: "Sources/2-Data/Formats"),
    .target(name: "Tokenizers", dependencies: ["Formats", "Support"], path: "Sources/2-Data/Tokenizers"),
    .target(name: "Datasets", dependencies: ["Batches", "Formats", "Support"], path: "Sources/2-Data/Datasets"),
    // Bytes of a page, a notebook or a text in any encoding become readable text; knows of no files and no datasets.
    .target(name: "DocumentText", dependencies: ["CGumbo", "CZlib"], path: "Sources/2-Data/DocumentText"),
    .target(
      name: "Corpus", dependencies: ["Datasets", "DocumentText", "Formats", "Support", "Tokenizers"],
      path: "Sources/2-Data/Corpus"),

    // Storage: what a run leaves on disk, without MPI.
    .systemLibrary(
      name: "CZstd", path: "Sources/3-Storage/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "Checkpoints", dependencies: ["CZstd", "Formats", "Support"], path: "Sources/3-Storage/Checkpoints"),
    .target(
      name: "ModelFiles",
      dependencies: [
        "Checkpoints", "ConfigurationFiles", "Datasets", "Formats", "Kernels", "Models", "Support", "Tokenizers",
      ], path: "Sources/3-Storage/ModelFiles"),
    .target(
      name: "RunStore", dependencies: ["Checkpoints", "ConfigurationFiles", "Formats", "Support"],
      path: "Sources/3-Storage/RunStore"),

    // Distributed: ranks, who has what, and what it will cost (Sharding, RunConfiguration and Planning without MPI).
    .systemLibrary(
      name: "COpenMPI", path: "Sources/4-Distributed/COpenMPI", pkgConfig: "ompi-c",
      providers: [.apt(["libopenmpi-dev"])]),
    .target(
      name: "MPI", dependencies: ["COpenMPI", "Diagnostics", "Support"], path: "Sources/4-Distributed/MPI",
      // A request borrows its buffers: the compiler keeps them alive and untouched until it is complete.
      swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
    .target(name: "Sharding", dependencies: ["Models"], path: "Sources/4-Distributed/Sharding"),
    .target(
      name: "RunConfiguration",
      dependencies: ["ConfigurationFiles", "Datasets", "ModelFiles", "Models", "Optimizers", "Sharding", "Support"],
      path: "Sources/4-Distributed/RunConfiguration"),
    .target(
      name: "Planning",
      dependencies: [
        "Batches", "Checkpoints", "Kernels", "Models", "Objectives", "Optimizers", "RunConfiguration", "Sharding",
        "Support",
      ], path: "Sources/4-Distributed/Planning"),
    .target(
      name: "Parallelism",
      dependencies: ["Checkpoints", "Kernels", "Models", "MPI", "Optimizers", "Sharding", "Support"],
      path: "Sources/4-Distributed/Parallelism"),
    .target(
      name: "Engine",
      dependencies: [
        "Batches", "Kernels", "Models", "MPI", "Objectives", "Optimizers", "Parallelism", "RunConfiguration",
        "Sharding", "Support",
      ], path: "Sources/4-Distributed/Engine"),

    // Work: what engines are driven for.
    .target(
      name: "Training",
      dependencies: [
        "Batches", "Checkpoints", "ConfigurationFiles", "Datasets", "Diagnostics", "Engine", "Formats", "Kernels",
        "ModelFiles", "Models", "MPI", "Objectives", "Optimizers", "Parallelism", "Planning", "RunConfiguration",
        "RunStore", "Sharding", "Support", "Tokenizers",
      ], path: "Sources/5-Work/Training"),
    .target(name: "Inference", dependencies: ["Batches", "Kernels", "Models"], path: "Sources/5-Work/Inference"),
    .target(name: "Reporting", dependencies: ["RunStore", "Support"], path: "Sources/5-Work/Reporting"),

    // Doors: two programs, and what forge does as requests and results. forge has no MPI: it runs on machines that have none.
    .executableTarget(
      name: "forge-dist",
      dependencies: [
        "ConfigurationFiles", "Kernels", "MPI", "RunConfiguration", "Support", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Sources/6-Doors/forge-dist"),
    .target(
      name: "Commands",
      dependencies: [
        "Checkpoints", "Corpus", "Datasets", "Diagnostics", "Formats", "Inference", "Kernels", "ModelFiles", "Models",
        "Planning", "Reporting", "RunConfiguration", "RunStore", "Support", "Tokenizers",
      ], path: "Sources/6-Doors/Commands"),
    .executableTarget(
      name: "forge",
      dependencies: [
        "Commands", "Corpus", "Inference", "Kernels", "Planning", "Support", "Tokenizers",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Sources/6-Doors/forge"),

    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "Support"], exclude: ["Fixtures"]),
    .testTarget(name: "CommandsTests", dependencies: ["Commands", "Support"]),
    .testTarget(name: "ConfigurationFilesTests", dependencies: ["ConfigurationFiles", "Support"]),
    .testTarget(
      name: "CorpusTests", dependencies: ["Corpus", "Datasets", "DocumentText", "Formats", "Support", "Tokenizers"]),
    .testTarget(name: "DatasetsTests", dependencies: ["Batches", "Datasets", "Formats", "Support"]),
    .testTarget(name: "DiagnosticsTests", dependencies: ["Diagnostics", "Support"]),
    .testTarget(name: "DocumentTextTests", dependencies: ["DocumentText"], exclude: ["Fixtures"]),
    .testTarget(name: "FormatsTests", dependencies: ["Formats", "Support"], exclude: ["Fixtures"]),
    .testTarget(
      name: "InferenceTests", dependencies: ["ConfigurationFiles", "Formats", "Inference", "Kernels", "Models"]),
    .testTarget(name: "KernelsTests", dependencies: ["CKernels", "Kernels"]),
    .testTarget(name: "MPITests", dependencies: ["MPI"]),
    .testTarget(
      name: "ModelFilesTests", dependencies: ["ConfigurationFiles", "Formats", "Kernels", "ModelFiles", "Models"]),
    .testTarget(
      name: "ModelsTests",
      dependencies: ["Batches", "ConfigurationFiles", "Formats", "Kernels", "Models", "Objectives", "Support"],
      exclude: ["Fixtures"]),
    .testTarget(name: "ObjectivesTests", dependencies: ["Batches", "Kernels", "Objectives"]),
    .testTarget(name: "OptimizersTests", dependencies: ["Kernels", "Optimizers"], exclude: ["Fixtures"]),
    .testTarget(
      name: "ParallelismTests",
      dependencies: ["Batches", "Checkpoints", "ConfigurationFiles", "Kernels", "Models", "Objectives", "Parallelism"]),
    .testTarget(
      name: "PlanningTests",
      dependencies: ["ConfigurationFiles", "Models", "Planning", "RunConfiguration", "Sharding", "Support"]),
    // Ranks as threads: what Tests/Distributed runs under mpirun too (Contract, by a link there), and whole steps.
    .testTarget(
      name: "RanksTests",
      dependencies: [
        "Batches", "ConfigurationFiles", "Engine", "Kernels", "Models", "MPI", "Objectives", "Optimizers",
        "Parallelism", "Planning", "RunConfiguration", "Sharding", "Support",
      ], swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
    .testTarget(name: "ReportingTests", dependencies: ["Reporting", "Support"]),
    .testTarget(
      name: "RunConfigurationTests", dependencies: ["ConfigurationFiles", "Models", "RunConfiguration", "Support"]),
    .testTarget(name: "RunStoreTests", dependencies: ["Checkpoints", "Formats", "RunStore", "Support"]),
    .testTarget(name: "ShardingTests", dependencies: ["ConfigurationFiles", "Models", "Sharding"]),
    .testTarget(name: "SupportTests", dependencies: ["Support"]),
    .testTarget(name: "TokenizersTests", dependencies: ["Support", "Tokenizers"], exclude: ["Fixtures"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: ["Batches", "Checkpoints", "Diagnostics", "MPI", "RunConfiguration", "Sharding", "Training"]),
  ]
)

// Programs that only we run, so that a first build need not wait for them.
if Context.environment["FORGE_DEVELOPMENT"] != nil {
  // Vectors without optimisation would take most of the time of all tests.
  package.targets.first { $0.name == "CKernels" }?.cSettings = [.unsafeFlags(["-O2"], .when(configuration: .debug))]
  package.targets += [
    // Run by scripts/settings-pages.
    .executableTarget(
      name: "settings-pages", dependencies: ["ConfigurationFiles", "RunConfiguration"],
      path: "Sources/6-Doors/settings-pages"),

    // Run under mpirun by Tests/Distributed/run.
    .executableTarget(
      name: "mpi-tests",
      dependencies: [
        "Batches", "ConfigurationFiles", "Diagnostics", "Engine", "Kernels", "Models", "MPI", "Objectives",
        "Optimizers", "Parallelism", "Sharding", "Support",
      ], path: "Tests/Distributed", exclude: ["run"], swiftSettings: [.enableExperimentalFeature("Lifetimes")]),

    // Run by scripts/test. They are what another package would write with the products above.
    .executableTarget(
      name: "score-and-generate", dependencies: ["ConfigurationFiles", "Inference", "Kernels", "Models"],
      path: "Examples/ScoreAndGenerate"),
    .executableTarget(
      name: "train-on-two-ranks",
      dependencies: [
        "Batches", "ConfigurationFiles", "Engine", "Kernels", "Models", "MPI", "Objectives", "Optimizers", "Sharding",
      ], path: "Examples/TrainOnTwoRanks"),
  ]
}

// Coverage-guided fuzzing, built apart by scripts/fuzz: the code under test as one static library for libFuzzer.
if Context.environment["FORGE_FUZZ"] != nil {
  package.products.append(.library(name: "FuzzTargets", type: .static, targets: ["FuzzTargets"]))
  package.targets.append(
    .target(
      name: "FuzzTargets",
      dependencies: [
        "Checkpoints", "ConfigurationFiles", "Datasets", "DocumentText", "Formats", "ModelFiles", "Models",
        "RunConfiguration", "Support", "Tokenizers",
      ], path: "Tests/Fuzz/Targets"))
}
