import Checkpoints
import Datasets
import Engine
import Formats
import Foundation
import Kernels
import MPI
import ModelFiles
import Models
import Parallelism
import Planning
import RunConfiguration
import RunStore
import Support

/// The state of a run on one rank: data, engine and step. Used by training and by replay.
///
/// It restores checkpoints, and does not write to the run directory.
final class RunState {
  let configuration: RunConfiguration
  let communicator: Communicator
  let directory: RunDirectory
  let data: TrainingData
  let loader: BatchLoader
  let engine: Engine
  let trainingStep: TrainingStep
  let checkpoints: CheckpointTransfer
  let memory: MemoryPlan
  /// Resident bytes of the process before allocation: program and libraries.
  let baselineBytes: Int
  /// A warning when cores are oversubscribed; nil otherwise.
  let threadAdvice: String?
  /// Logs a sentence, on rank 0.
  let note: (String) -> Void
  /// The sources of the run, as identified at this start.
  var found: FoundSources
  /// Steps done.
  var step = 0
  /// The run's branch point; nil for a run that did not branch.
  private(set) var branch: Branch?

  /// Identifies the data and allocates the engine. Collective.
  ///
  /// - Parameters:
  ///   - start: the number of this start of the run.
  ///   - dataRead: called after the data have been verified, which may take long, and before allocation.
  /// - Throws: `ForgeError.badInput` for data or settings that cannot be used; errors of `dataRead`.
  init(
    _ configuration: RunConfiguration, _ directory: RunDirectory, communicator: Communicator, start: Int,
    note: @escaping (String) -> Void, dataRead: () throws -> Void = {}
  ) throws {
    self.configuration = configuration
    self.communicator = communicator
    self.directory = directory
    self.note = note
    let (rank, ranks) = (communicator.rank, communicator.size)
    let threads = configuration.run.threads ?? Self.defaultThreads()
    threadAdvice = ProcessorAffinity.makeRoom(forThreads: threads)
    let model = configuration.model
    let settings = configuration.data
    found = try FoundSources(
      configuration, directory, communicator: communicator, threads: threads, start: start, note: note)
    data = try TrainingData(
      sources: settings.train, sequenceLength: settings.sequenceLength, shuffle: settings.shuffle,
      documentMask: settings.documentMask, seed: configuration.run.seed, vocabularySize: model.vocabularySize,
      checkingPart: rank, of: ranks, checkedVocabularies: found.checkedVocabularies)
    try dataRead()

    baselineBytes = ResidentMemory.bytes()
    let backend = Backend(threads: threads)
    // A rank with fewer threads would slow down all others.
    try communicator.together { if let shortage = backend.team.shortage { throw shortage } }
    var plan: MemoryPlan?
    let options = try EngineOptions(configuration, ranks: ranks, duplicates: Self.duplicates(ranks: ranks))
    engine = try Engine(options, world: communicator, backend: backend) { shardingPlan, rank, dispatcher in
      let planned = MemoryPlan(
        configuration, shardingPlan: shardingPlan, rank: rank, threads: threads,
        neighbours: min(ranks, LaunchEnvironment.current.localSize), shadowsExperts: dispatcher?.shadowsExperts ?? false
      )
      plan = planned
      // Address space: parameters and gradient sums of the whole model, and received rows for the worst case.
      let laidOut = Decoder.plannedBytes(
        model, sequences: configuration.batch.microBatch, length: settings.sequenceLength, training: true,
        recompute: options.recompute, experts: shardingPlan.experts.experts(of: rank).count,
        receiveCapacity: dispatcher?.receiveCapacity
      )
      try communicator.together {
        try AddressSpace.check(
          bytes: 12 * shardingPlan.layout.count + laidOut
            + planned.bytes(besides: ["parameters", "gradient sums", "activations"]))
      }
    }
    guard let plan else { preconditionFailure("an engine looks at its memory before it lays it out") }
    memory = plan
    loader = BatchLoader(
      sequenceLength: settings.sequenceLength, microBatch: configuration.batch.microBatch,
      microBatches: configuration.batch.microBatches)
    trainingStep = TrainingStep(configuration: configuration, engine: engine, loader: loader, data: data)
    checkpoints = CheckpointTransfer(
      communicator: communicator, parameters: engine.parameters, optimizer: engine.optimizer, threads: threads,
      writes: engine.mesh.isFirstOfDuplicates)
  }

  /// Ranks that compute the same: 1 except in tests of the mesh, which set an environment variable.
  private static func duplicates(ranks: Int) throws -> Int {
    guard let text = ProcessInfo.processInfo.environment["FORGE_TEST_DUPLICATES"] else { return 1 }
    guard let duplicates = Int(text), duplicates > 0, ranks % duplicates == 0 else {
      throw ForgeError.badInput(
        "FORGE_TEST_DUPLICATES is '\(text)', no divisor of the \(ranks) ranks", hint: "unset it", code: .invalidArgument
      )
    }
    return duplicates
  }

  /// The node's cores divided by its ranks; at most the cores that this rank is bound to.
  private static func defaultThreads() -> Int {
    max(1, min(ProcessorAffinity.allowedCores, ProcessorAffinity.onlineCores / LaunchEnvironment.current.localSize))
  }

  /// Initialises the parameters from a pretrained model or at random. Collective.
  func initialize() throws {
    // Every rank reads or computes its shards; the rest is gathered.
    let shards = engine.state.shards.filter { !$0.isEmpty }
    try communicator.together {
      if let folder = configuration.pretrained {
        try PretrainedModel(path: folder).load(
          into: engine.parameters, ranges: shards, threads: engine.backend.team.count)
      } else {
        engine.layout.initialize(
          engine.parameters, ranges: shards, configuration: configuration.model, seed: configuration.run.seed,
          backend: engine.backend)
      }
    }
    try engine.state.gatherShards()
    trainingStep.parametersChanged()
  }

  /// Adopts the record of a checkpoint whose tensors have been loaded.
  func adopt(_ record: RunRecord, step: Int) {
    trainingStep.progress = record.progress
    trainingStep.parametersChanged(to: step)
    branch = record.branch
    self.step = step
  }

  /// The documents of a step's batch, by dataset; empty on ranks other than 0.
  func documents(of outcome: StepOutcome) -> [String] {
    guard communicator.isLeader else { return [] }
    return (0..<configuration.batch.sequences).map { place in
      let (dataset, documents) = data.documents(ofSequence: outcome.firstSequence + place)
      return documents.count == 1
        ? "\(dataset):\(documents.lowerBound)" : "\(dataset):\(documents.lowerBound)-\(documents.upperBound)"
    }
  }

  /// Writes the gradients of the next step, before clipping, under their Hugging Face names, without updating weights:
  /// for comparison with other implementations. Collective; rank 0 writes.
  func dumpGradients(to path: String) throws {
    _ = try trainingStep.gradients(batch: trainingStep.progress.batch(ofStep: step + 1))
    let gradients = try engine.optimizer.completeGradients()
    guard communicator.isLeader else { return }
    let tensors = engine.layout.tensors
    let writer = try SafetensorsWriter(
      file: path, tensors: tensors.map { SafetensorsWriter.Tensor(name: $0.name, shape: $0.shape, dtype: .float32) })
    for tensor in tensors {
      try writer.write(tensor.name, UnsafeBufferPointer(gradients.buffer[tensor.range].pointer))
    }
    try writer.finish()
  }
}
