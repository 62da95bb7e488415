import Glibc

// Reference semantics of the collectives (MPI 3.1, chapter 5) for ranks that are threads of one process.

extension Collective {
  var root: Int? {
    switch self {
    case .broadcast(_, _, _, let root), .gather(_, _, _, _, let root): root
    default: nil
    }
  }

  func form(_ call: StaticString) -> Contribution.Form {
    var form = Contribution.Form(call: "\(call)", root: root)
    switch self {
    case .barrier: break
    case .allReduce(_, _, let count, let datatype, let reduction),
      .reduceScatter(_, _, let count, let datatype, let reduction):
      (form.count, form.datatype, form.reduction) = (count, datatype, reduction)
    case .broadcast(_, let count, let datatype, _), .allToAll(_, _, let count, let datatype):
      (form.count, form.datatype) = (count, datatype)
    case .allGather(_, let layout, let datatype), .gather(_, _, let layout, let datatype, _):
      (form.count, form.datatype) = (layout.total, datatype)
    case .exchange(_, _, _, let datatype): form.datatype = datatype
    }
    return form
  }

  /// The send buffer of this rank: one part for all ranks, or one part per rank.
  func sent(rank: Int, ranks: Int) -> [UnsafeRawBufferPointer] {
    func part(_ base: UnsafeRawPointer?, _ elements: Range<Int>, _ datatype: Datatype) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(
        start: base?.advanced(by: elements.lowerBound * datatype.stride), count: elements.count * datatype.stride)
    }
    switch self {
    case .barrier: return []
    case .allReduce(let source, let destination, let count, let datatype, _):
      return [part(source ?? UnsafeRawPointer(destination), 0..<count, datatype)]
    case .reduceScatter(let source, _, let block, let datatype, _), .allToAll(let source, _, let block, let datatype):
      return (0..<ranks).map { part(source, $0 * block..<($0 + 1) * block, datatype) }
    case .broadcast(let buffer, let count, let datatype, let root):
      return rank == root ? [part(buffer, 0..<count, datatype)] : []
    case .allGather(let buffer, let layout, let datatype):
      return [part(buffer, layout.range(of: rank), datatype)]
    case .exchange(let source, _, let plan, let datatype):
      return (0..<ranks).map { part(source, plan.send.range(of: $0), datatype) }
    case .gather(let source, _, let layout, let datatype, _):
      return [part(source, 0..<layout.counts[rank], datatype)]
    }
  }

  /// Writes the result of the collective to this rank's receive buffer.
  ///
  /// - Parameter contributions: by rank.
  /// - Returns: an error message, as a predicate; nil on success.
  func deliver(_ contributions: [Contribution], rank: Int) -> String? {
    let sent = sent(rank: rank, ranks: contributions.count)
    let isUnchanged = contributions[rank].bytes.withUnsafeBytes { copy in
      var end = 0
      return sent.allSatisfy { part in
        defer { end += part.count }
        guard let mine = part.baseAddress, let theirs = copy.baseAddress, !part.isEmpty else { return true }
        return memcmp(mine, theirs + end, part.count) == 0
      }
    }
    guard isUnchanged else { return "has sent what rank \(rank) of the group changed while it was under way" }
    switch self {
    case .barrier: return nil
    case .allReduce(_, let destination, let count, let datatype, let reduction),
      .reduceScatter(_, let destination, let count, let datatype, let reduction):
      guard count > 0, let destination else { return nil }
      datatype.combine(contributions, for: rank, reduction, into: destination, count: count)
      return nil
    case .broadcast(let buffer, let count, let datatype, let root):
      // The root has the value already.
      if rank == root { return nil }
      return copy(contributions[root], for: rank, to: buffer, 0..<count, datatype, sender: root)
    case .allGather(let buffer, let layout, let datatype):
      return first(contributions.indices.filter { $0 != rank }) {
        copy(contributions[$0], for: rank, to: buffer, layout.range(of: $0), datatype, sender: $0)
      }
    case .allToAll(_, let destination, let block, let datatype):
      return first(contributions.indices) {
        copy(contributions[$0], for: rank, to: destination, $0 * block..<($0 + 1) * block, datatype, sender: $0)
      }
    case .exchange(_, let destination, let plan, let datatype):
      return first(contributions.indices) {
        copy(contributions[$0], for: rank, to: destination, plan.receive.range(of: $0), datatype, sender: $0)
      }
    case .gather(_, let destination, let layout, let datatype, let root):
      guard rank == root else { return nil }
      return first(contributions.indices) {
        copy(contributions[$0], for: rank, to: destination, layout.range(of: $0), datatype, sender: $0)
      }
    }
  }

  private func first(_ ranks: some Sequence<Int>, _ problem: (Int) -> String?) -> String? {
    for rank in ranks {
      if let problem = problem(rank) { return problem }
    }
    return nil
  }

  private func copy(
    _ contribution: Contribution, for rank: Int, to destination: UnsafeMutableRawPointer?, _ elements: Range<Int>,
    _ datatype: Datatype, sender: Int
  ) -> String? {
    contribution.withBytes(for: rank) { bytes in
      guard bytes.count == elements.count * datatype.stride else {
        return "brings \(bytes.count / datatype.stride) elements from rank \(sender) of the group to rank \(rank), "
          + "which expects \(elements.count)"
      }
      if let source = bytes.baseAddress, !bytes.isEmpty {
        destination?.advanced(by: elements.lowerBound * datatype.stride)
          .copyMemory(from: source, byteCount: bytes.count)
      }
      return nil
    }
  }
}

extension Datatype {
  /// Reduces the contributions of all ranks for `rank`, in the order of ranks.
  fileprivate func combine(
    _ contributions: [Contribution], for rank: Int, _ reduction: Reduction, into destination: UnsafeMutableRawPointer,
    count: Int
  ) {
    func combine<E: CollectiveElement & Comparable>(_: E.Type, sum: (E, E) -> E) {
      let result = UnsafeMutableBufferPointer(start: destination.assumingMemoryBound(to: E.self), count: count)
      for (place, contribution) in contributions.enumerated() {
        contribution.withBytes(for: rank) { bytes in
          for index in 0..<count {
            let value = bytes.loadUnaligned(fromByteOffset: index * stride, as: E.self)
            guard place > 0 else {
              result[index] = value
              continue
            }
            result[index] =
              switch reduction {
              case .sum: sum(result[index], value)
              case .max: max(result[index], value)
              case .min: min(result[index], value)
              }
          }
        }
      }
    }
    switch self {
    case .float: combine(Float.self, sum: +)
    case .double: combine(Double.self, sum: +)
    case .uint8: combine(UInt8.self, sum: &+)
    case .int32: combine(Int32.self, sum: &+)
    case .int64: combine(Int64.self, sum: &+)
    case .uint64: combine(UInt64.self, sum: &+)
    }
  }
}
