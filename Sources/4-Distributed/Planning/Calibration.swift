import Batches
import Checkpoints
import Foundation
import Kernels
import Models
import Objectives
import Optimizers
import RunConfiguration
import Sharding

/// Microbenchmarks of this machine for a configuration: measures the rate of each kind of work in a few seconds, with
/// the real decoder, optimizer and checkpoint writer, on random weights and tokens.
///
/// Nothing is fitted to a whole step: a step's time is the sum of its parts (`StepSimulation`).
public enum Calibration {
  /// How long passes are repeated, seconds.
  private static let passSeconds = 2.5
  /// Elements of the arenas on which memory bandwidth is measured: larger than the caches.
  private static let streamed = 1 << 23

  /// Measures the rates of this machine.
  ///
  /// - Parameters:
  ///   - ranksPerNode, threads: ranks of a node, and threads of each, up to the cores of this machine.
  /// - Throws: `ForgeError.tryAgain` when the system does not start the threads.
  public static func measure(_ configuration: RunConfiguration, ranksPerNode: Int, threads: Int) throws -> MachineRates
  {
    let cores = max(1, ProcessInfo.processInfo.activeProcessorCount)
    let memory = Int(ProcessInfo.processInfo.physicalMemory)
    let threads = min(threads, cores)
    let ranks = max(1, min(ranksPerNode, cores / threads))
    let backend = Backend(threads: threads)
    if let shortage = backend.team.shortage { throw shortage }
    let peak = backend.matrixProductPeak()
    let shape = CalibrationShape(
      configuration.model, sequences: configuration.batch.microBatch, length: configuration.data.sequenceLength,
      operations: peak * 0.8, parameters: memory / ranks / 64)
    let results = try ConcurrentRanks.run(ranks) { team, index in
      measure(configuration, shape, threads: threads, team, index)
    }
    var rates = results[0]
    for result in results.dropFirst() { rates.add(result) }
    rates.divide(by: Double(results.count))
    rates.isExact = shape.isExact
    (rates.threads, rates.ranks, rates.cores, rates.memory) = (threads, ranks, cores, memory)
    rates.save = saveRate(configuration, threads: threads * ranks) ?? 1e-9
    return rates
  }

  private static func measure(
    _ configuration: RunConfiguration, _ shape: CalibrationShape, threads: Int, _ team: ConcurrentRanks, _ index: Int
  ) -> MachineRates {
    let backend = Backend(threads: threads)
    let layout = ParameterLayout(shape.configuration)
    let parameters = Arena<Float>(count: layout.count)
    fill(parameters.buffer, layout, deviation: shape.configuration.initializerRange, seed: UInt64(index + 1))
    let accumulator = FixedPointGradientAccumulator(count: layout.count, microBatches: configuration.batch.microBatches)
    var rates = MachineRates(
      pass: pass(shape, layout, parameters.buffer, accumulator, backend, team, index), adamW: 0, muon: 0, norm: 0,
      zero: 0, copy: 0, copyAndAdd: 0, pageFault: 0, save: 0, oversleep: 0, isExact: true, threads: 0, ranks: 0,
      cores: 0,
      memory: 0)
    (rates.adamW, rates.muon) = updates(configuration, layout, parameters.buffer, accumulator, backend, team, index)
    stream(&rates, backend, team, index)
    return rates
  }

  // MARK: A pass

  private static func pass(
    _ shape: CalibrationShape, _ layout: ParameterLayout, _ parameters: Buffer<Float>,
    _ accumulator: FixedPointGradientAccumulator,
    _ backend: Backend, _ team: ConcurrentRanks, _ index: Int
  ) -> MachineRates.Pass {
    let c = shape.configuration
    let stopwatch = Stopwatch(isSparse: c.sparseLayers)
    let decoder = Decoder(
      c, parameters: parameters, sequences: shape.sequences, length: shape.length, training: true,
      backend: backend)
    decoder.observer = stopwatch.lap
    let batch = microBatch(shape, seed: UInt64(index + 1))
    let objective = NormalizedObjective(LanguageModeling(), of: [batch])
    let seconds = team.median(index: index, seconds: passSeconds) {
      stopwatch.start()
      do {
        _ = try decoder.train(batch, objective: objective, microBatches: 1, accumulator: accumulator)
      } catch { preconditionFailure("a local decoder failed: \(error)") }
      let times = stopwatch.times
      return [times.embedding, times.embeddingGradient, times.head] + times.dense.array + times.sparse.array
    }
    let parts = PassWork.Layer.numbers.count
    var dense = PassWork.Layer(Array(seconds[3..<3 + parts]))
    var sparse = PassWork.Layer(Array(seconds[(3 + parts)...]))
    let work = shape.work
    func sum(_ kind: Bool) -> PassWork.Layer {
      zip(work.layers, c.sparseLayers).filter { $0.1 == kind }.reduce(PassWork.Layer()) { $0.zip($1.0, +) }
    }
    let (denseWork, sparseWork) = (sum(false), sum(true))

    // Separate the parts that one event measures together.
    let accumulation =
      (dense.accumulation + sparse.accumulation) / max(1, denseWork.accumulation + sparseWork.accumulation)
    let scores = scores(shape, batch, backend, team, index)
    func separate(_ seconds: inout PassWork.Layer, _ work: PassWork.Layer) {
      seconds.scores = min(scores.forward * work.scores, 0.9 * seconds.attention)
      seconds.scoresBackward = min(scores.backward * work.scoresBackward, 0.9 * seconds.attentionBackward)
      seconds.attention -= seconds.scores
      seconds.attentionBackward -= seconds.scoresBackward
      seconds.expertAccumulation = min(accumulation * work.expertAccumulation, 0.9 * seconds.expertsBackward)
      seconds.expertsBackward -= seconds.expertAccumulation
    }
    separate(&dense, denseWork)
    separate(&sparse, sparseWork)
    let headAccumulation = min(accumulation * work.headAccumulation, 0.9 * seconds[2])
    func rates(_ seconds: PassWork.Layer, _ work: PassWork.Layer) -> PassWork.Layer {
      seconds.zip(work) { $1 > 0 ? $0 / $1 : 0 }
    }
    return MachineRates.Pass(
      embedding: seconds[0] / work.embedding, embeddingGradient: seconds[1] / work.embeddingGradient,
      head: (seconds[2] - headAccumulation) / work.head, accumulation: accumulation, dense: rates(dense, denseWork),
      sparse: rates(sparse, sparseWork))
  }

  /// Seconds per operation of attention scores, forward and backward.
  private static func scores(
    _ shape: CalibrationShape, _ batch: TokenBatch, _ backend: Backend, _ team: ConcurrentRanks, _ index: Int
  ) -> (forward: Double, backward: Double) {
    var c = shape.configuration
    (c.layers, c.windows, c.sparseLayers) = (1, [c.windows[0]], [c.sparseLayers[0]])
    let attention = AttentionShape(
      batch.packing, heads: c.heads, keyValueHeads: c.keyValueHeads, headDimension: c.headDimension,
      window: c.windows[0])
    let tokens = batch.tokenCount
    let (columns, queries) = (c.queryKeyValueColumns, c.queryColumns)
    let memory = Arena<Float>(count: tokens * (2 * columns + 2 * queries + c.heads))
    fill(memory.buffer.pointer, deviation: 0.5, seed: 7)
    var next = 0
    func take(_ count: Int) -> Buffer<Float> {
      defer { next += count }
      return memory.buffer[next..<next + count]
    }
    let qkv = take(tokens * columns).matrix(tokens, columns)
    let gradient = take(tokens * columns).matrix(tokens, columns)
    let out = take(tokens * queries).matrix(tokens, queries)
    let outGradient = take(tokens * queries).matrix(tokens, queries)
    let logSumExp = take(tokens * c.heads)
    let work = PassWork(c, sequences: shape.sequences, length: shape.length).layers[0]
    let forward = team.medianSeconds(index: index) {
      backend.attention(attention, qkv: qkv, documentStarts: batch.documentStarts, into: out, logSumExp: logSumExp)
    }
    let backward = team.medianSeconds(index: index) {
      backend.attentionBackward(
        attention, qkv: qkv, documentStarts: batch.documentStarts, out: out, logSumExp: logSumExp,
        outGradient: outGradient, qkvGradient: gradient)
    }
    return (forward / work.scores, backward / work.scoresBackward)
  }

  private static func microBatch(_ shape: CalibrationShape, seed: UInt64) -> TokenBatch {
    let batch = TokenBatch(sequences: shape.sequences, length: shape.length)
    var random = seed
    for sequence in 0..<shape.sequences {
      let tokens = (0...shape.length).map { _ in
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int32(random >> 33) % Int32(shape.configuration.vocabularySize)
      }
      batch.set(sequence: sequence, tokens: tokens)
    }
    return batch
  }

  /// Fills in weights with the magnitude of initial ones, from a fast generator.
  private static func fill(_ parameters: Buffer<Float>, _ layout: ParameterLayout, deviation: Float, seed: UInt64) {
    fill(parameters.pointer, deviation: deviation, seed: seed)
    for tensor in layout.tensors where tensor.shape.count < 2 {
      parameters[tensor.range].fill(tensor.role == .norm ? 1 : 0)
    }
  }

  private static func fill(_ values: UnsafeMutableBufferPointer<Float>, deviation: Float, seed: UInt64) {
    var random = seed
    let scale = deviation * 1.732 / Float(1 << 30)
    for index in values.indices {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      values[index] = Float(Int32(truncatingIfNeeded: random >> 33) &- (1 << 30)) * scale
    }
  }

  // MARK: Optimizer, memory bandwidth and checkpoints

  /// Seconds per element of AdamW, and per unit of `muonWork`.
  private static func updates(
    _ configuration: RunConfiguration, _ layout: ParameterLayout, _ parameters: Buffer<Float>,
    _ accumulator: FixedPointGradientAccumulator, _ backend: Backend, _ team: ConcurrentRanks, _ index: Int
  ) -> (adamW: Double, muon: Double) {
    let tensors = configuration.optimizer.tensors(of: layout)
    func seconds(_ shards: [Range<Int>]) -> Double {
      guard !shards.isEmpty else { return 0 }
      let optimizer = Optimizer(settings: configuration.optimizer, tensors: tensors, shards: shards)
      var step = 0
      return team.medianSeconds(index: index, seconds: 0.2) {
        step += 1
        optimizer.update(
          step: step, learningRate: 1e-9, gradientScale: 1, sums: accumulator.sums, parameters: parameters,
          backend: backend)
      }
    }
    func isMuon(_ tensor: OptimizedTensor) -> Bool { if case .muon = tensor.rule { true } else { false } }
    let (muon, adamW) = (tensors.filter(isMuon), tensors.filter { !isMuon($0) })
    let muonWork = muon.reduce(0.0) { sum, tensor in
      guard case .muon(let rows, let columns) = tensor.rule else { return sum }
      return sum + MachineRates.muonWork(rows: rows, columns: columns)
    }
    return (
      seconds(adamW.map(\.range)) / Double(max(1, adamW.reduce(0) { $0 + $1.range.count })),
      seconds(muon.map(\.range)) / max(1, muonWork)
    )
  }

  /// Measures norms, zeroing, copies, sums, page faults and the oversleep of a short sleep.
  private static func stream(_ rates: inout MachineRates, _ backend: Backend, _ team: ConcurrentRanks, _ index: Int) {
    let count = streamed
    let sums = Arena<Int64>(count: count)
    let source = Arena<Int64>(count: count)
    source.buffer.fill(1)
    let norms = Arena<Double>(count: count / ShardingPlan.blockSize)
    rates.zero = team.medianSeconds(index: index) { sums.buffer.fill(0) } / Double(count)
    rates.norm =
      team.medianSeconds(index: index) {
        backend.sumsOfSquares(sums.buffer, blockSize: ShardingPlan.blockSize, into: norms.buffer)
      } / Double(count)
    rates.copy = team.medianSeconds(index: index) { sums.buffer.copy(from: source.buffer) } / Double(8 * count)
    // A chunk is received in a buffer that stays in the cache, and added from there.
    let chunk = 1 << 17
    let received = Arena<Int64>(count: chunk)
    rates.copyAndAdd =
      team.medianSeconds(index: index) {
        for start in stride(from: 0, to: count, by: chunk) {
          received.buffer.copy(from: source.buffer[start..<start + chunk])
          let (sum, addend) = (sums.buffer.base + start, received.buffer.base)
          for element in 0..<chunk { sum[element] &+= addend[element] }
        }
      } / Double(8 * count)
    rates.pageFault =
      team.medianSeconds(index: index) {
        let fresh = Arena<Int64>(count: 1 << 20, hugePages: false)
        for page in stride(from: 0, to: fresh.count, by: 512) { fresh.buffer[page] = 1 }
      } / Double(8 << 20)
    let nap = 20.0
    rates.oversleep = max(0, team.medianSeconds(index: index, seconds: 0.02) { usleep(UInt32(nap)) } - nap * 1e-6)
  }

  /// Seconds per byte of a checkpoint written on the file system of the run directory; nil when it is not writable.
  private static func saveRate(_ configuration: RunConfiguration, threads: Int) -> Double? {
    var place = URL(filePath: configuration.run.directory).standardizedFileURL
    while !FileManager.default.fileExists(atPath: place.path), place.path != "/" { place.deleteLastPathComponent() }
    let folder = place.appending(path: ".forge-plan-\(ProcessInfo.processInfo.processIdentifier)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let values = Arena<Float>(count: 3 << 23)
    fill(values.buffer.pointer, deviation: 0.02, seed: 3)
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      let start = ContinuousClock.now
      let writer = try ChunkWriter(folder: folder, rank: 0, level: configuration.checkpoint.level, threads: threads)
      try writer.write(
        tensor: TensorDescription(name: "values", dtype: .f32, shape: [values.count]),
        bytes: UnsafeRawBufferPointer(values.buffer.pointer))
      _ = try writer.finish()
      return (ContinuousClock.now - start) / .seconds(1) / Double(values.byteCount)
    } catch { return nil }
  }
}

extension MachineRates {
  fileprivate static var numbers: [WritableKeyPath<Self, Double>] {
    sharedByThreads + [\.zero, \.copy, \.copyAndAdd, \.pageFault, \.oversleep]
  }

  fileprivate mutating func add(_ other: Self) {
    for number in Self.numbers { self[keyPath: number] += other[keyPath: number] }
    pass.dense = pass.dense.zip(other.pass.dense, +)
    pass.sparse = pass.sparse.zip(other.pass.sparse, +)
  }

  fileprivate mutating func divide(by count: Double) {
    for number in Self.numbers { self[keyPath: number] /= count }
    pass.dense = PassWork.Layer(pass.dense.array.map { $0 / count })
    pass.sparse = PassWork.Layer(pass.sparse.array.map { $0 / count })
  }
}
