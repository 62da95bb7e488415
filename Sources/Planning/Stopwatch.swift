import Models

/// Times the parts of a decoder's pass at the seams where it asks for parameters and hands over gradients.
///
/// What the seams cannot tell apart stays together: attention's scores are in `front`, an expert's accumulation is in
/// `expertsBackward`, the head's in `head`.
final class Stopwatch: ParameterResidence {
  /// Of the pass in progress, summed over layers of a kind.
  private(set) var embedding = 0.0
  private(set) var embeddingGradient = 0.0
  private(set) var head = 0.0
  private(set) var dense = PassWork.Layer()
  private(set) var sparse = PassWork.Layer()

  private enum Piece { case embedding, head, block(isSparse: Bool), experts }
  private let pieces: [Piece]
  private var isForward = true
  private var last = ContinuousClock.now

  init(_ layout: ParameterLayout) {
    var pieces = [Piece](repeating: .embedding, count: layout.pieces.count)
    for layer in layout.blocks.indices {
      let experts = layout.expertsPiece(layer)
      pieces[layout.blockPiece(layer)] = .block(isSparse: experts != nil)
      if let experts { pieces[experts] = .experts }
    }
    pieces[layout.headPiece] = .head
    self.pieces = pieces
  }

  /// Begins a pass.
  func start() {
    (embedding, embeddingGradient, head) = (0, 0, 0)
    (dense, sparse) = (.init(), .init())
    isForward = true
    last = .now
  }

  private func lap() -> Double {
    let now = ContinuousClock.now
    defer { last = now }
    return (now - last) / .seconds(1)
  }

  func acquire(_ piece: Int) {
    let seconds = lap()
    switch pieces[piece] {
    case .embedding: break
    case .block: if isForward { embedding += seconds }
    case .experts: if isForward { sparse.front += seconds } else { sparse.combineBackward += seconds }
    case .head:
      if isForward { sparse.combine += seconds }  // the balancing losses
      isForward = false
    }
  }

  func release(_ piece: Int) {
    let seconds = lap()
    switch pieces[piece] {
    case .embedding: if isForward { embedding += seconds }
    case .block(isSparse: true): if isForward { sparse.combine += seconds }
    case .block(isSparse: false): if isForward { dense.front += seconds }
    case .experts: if isForward { sparse.experts += seconds } else { sparse.expertsBackward += seconds }
    case .head: break
    }
  }

  func beginGradient(_ piece: Int) {
    let seconds = lap()
    switch pieces[piece] {
    case .block(isSparse: true): sparse.frontBackward += seconds
    case .block(isSparse: false): dense.frontBackward += seconds
    default: break
    }
  }

  func endGradient(_ piece: Int) {
    let seconds = lap()
    switch pieces[piece] {
    case .embedding: embeddingGradient += seconds
    case .head: head += seconds
    case .block(isSparse: true): sparse.accumulation += seconds
    case .block(isSparse: false): dense.accumulation += seconds
    case .experts: break
    }
  }
}
