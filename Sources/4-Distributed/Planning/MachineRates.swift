import Models
import Optimizers

/// Measured rates of this machine: seconds per unit of each kind of work, with all ranks of a node running.
public struct MachineRates: Sendable {
  /// Per unit of `PassWork`; all layers of a kind have the same rates.
  struct Pass: Sendable {
    var embedding: Double
    var embeddingGradient: Double
    var head: Double
    /// Per gradient element added to an exact sum.
    var accumulation: Double
    var dense: PassWork.Layer
    var sparse: PassWork.Layer
  }

  var pass: Pass
  /// Per element updated by AdamW, and per unit of `muonWork`.
  var adamW: Double
  var muon: Double
  /// Per element: the squared norm of the gradient, and zeroing its sum.
  var norm: Double
  var zero: Double
  /// Per byte received from another rank of the node: copying, and copying with adding to a sum.
  var copy: Double
  var copyAndAdd: Double
  /// Per byte of memory touched for the first time.
  var pageFault: Double
  /// Per byte of a node's state, compressed, written to a checkpoint and synced.
  var save: Double
  /// Excess of a short sleep over its nominal time.
  var oversleep: Double
  /// Whether layers and micro-batches were measured at their real size.
  public var isExact: Bool
  /// The measured number of threads per rank, and of concurrent ranks.
  public var threads: Int
  public var ranks: Int
  /// Cores of the machine, and its memory in bytes.
  public var cores: Int
  public var memory: Int

  /// Extrapolates to ranks with more threads than were measured, assuming linear scaling of the work of a thread team.
  func scaled(toThreads count: Int) -> MachineRates {
    guard count > threads else { return self }
    let factor = Double(threads) / Double(count)
    var rates = self
    for number in Self.sharedByThreads { rates[keyPath: number] *= factor }
    rates.pass.dense = PassWork.Layer(pass.dense.array.map { $0 * factor })
    rates.pass.sparse = PassWork.Layer(pass.sparse.array.map { $0 * factor })
    return rates
  }

  /// The rates of work that a thread team shares, without those of layers.
  static var sharedByThreads: [WritableKeyPath<Self, Double>] {
    [
      \.pass.embedding, \.pass.embeddingGradient, \.pass.head, \.pass.accumulation, \.adamW, \.muon, \.norm,
    ]
  }

  /// The time of each part of a micro-batch's pass, accumulation into exact sums included.
  func seconds(_ work: PassWork, sparseLayers: [Bool]) -> PassWork {
    PassWork(
      embedding: work.embedding * pass.embedding, embeddingGradient: work.embeddingGradient * pass.embeddingGradient,
      head: work.head * pass.head, headAccumulation: work.headAccumulation * pass.accumulation,
      layers: zip(work.layers, sparseLayers).map { work, isSparse in
        work.zip(isSparse ? pass.sparse : pass.dense, *)
      }, queryKeyValueShare: work.queryKeyValueShare)
  }

  /// The time of the optimizer update of a rank's parts of tensors.
  func update(_ parts: [(tensor: OptimizedTensor, elements: Int)]) -> Double {
    parts.reduce(0) { sum, part in
      switch part.tensor.rule {
      case .muon(let rows, let columns): sum + muon * Self.muonWork(rows: rows, columns: columns)
      default: sum + adamW * Double(part.elements)
      }
    }
  }

  /// Muon's work on a matrix, in units of multiply-adds: Newton–Schulz iterations multiply it along its smaller side.
  static func muonWork(rows: Int, columns: Int) -> Double { Double(rows * columns * min(rows, columns)) }
}
