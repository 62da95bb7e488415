import Checkpoints
import Foundation
import MPI
import Sharding
import Support

/// The transfer of a shard file from one rank's folder to another's.
struct ShardTransfer: Equatable {
  var file: String
  /// The file's length, bytes.
  var length: Int
  var source: Int
  var destination: Int

  /// Groups the transfers so that no rank sends or receives more than one at a time, and needs memory for two blocks
  /// only. The same on every rank.
  static func waves(_ transfers: [ShardTransfer]) -> [[ShardTransfer]] {
    var waves: [[ShardTransfer]] = []
    for transfer in transfers {
      let free = waves.firstIndex { wave in
        !wave.contains { $0.source == transfer.source || $0.destination == transfer.destination }
      }
      if let free { waves[free].append(transfer) } else { waves.append([transfer]) }
    }
    return waves
  }
}

extension NodeLocalCheckpoint {
  /// The transfers of shard files after which every node has those that its ranks need. The same on every rank.
  ///
  /// - Parameter needs: shard files by node.
  func transfers(needs: [Set<String>], nodes: Nodes) -> [ShardTransfer] {
    var transfers: [ShardTransfer] = []
    for (node, files) in needs.enumerated() {
      for file in files.sorted() {
        guard let holders = holders[file], !holders.contains(node), let length = lengths[file] else { continue }
        // Rotates over the ranks of both nodes.
        let number = transfers.count
        let (from, to) = (nodes.ranks[holders[node % holders.count]], nodes.ranks[node])
        transfers.append(
          ShardTransfer(
            file: file, length: length, source: from[number % from.count], destination: to[number % to.count]))
      }
    }
    return transfers
  }
}

/// Copies shard files between the nodes' folders over MPI.
struct ShardExchange {
  static let blockBytes = CopyBlock.bytes
  /// Polling interval in microseconds: Open MPI progresses a block over many polls.
  private static let pollInterval: UInt32 = 100

  let communicator: Communicator
  let files: any FileOperations

  /// Copies files, from the same list on every rank, and syncs the copies but not the folder. Collective.
  ///
  /// - Parameters:
  ///   - source: the folder that this rank reads.
  ///   - destination: the folder that it writes.
  /// - Throws: `ForgeError`, on all ranks when one of them cannot read or write; `MPIError`.
  func copy(_ transfers: [ShardTransfer], from source: String, to destination: String) throws {
    var failure: ForgeError?
    for wave in ShardTransfer.waves(transfers) {
      try copy(wave: wave, from: source, to: destination, failure: &failure)
    }
    try communicator.together(pollingEvery: Self.pollInterval) { if let failure { throw failure } }
  }

  private func copy(
    wave: [ShardTransfer], from source: String, to destination: String, failure: inout ForgeError?
  ) throws {
    /// After a failure a rank continues the exchange, which is collective, without accessing the disk.
    func attempt(_ body: () throws -> Void) {
      guard failure == nil else { return }
      do { try body() } catch {
        failure =
          error as? ForgeError
          ?? .tryAgain("a shard in '\(source)' has changed while it was copied", code: .dataChanged)
      }
    }
    let outgoing = wave.first { $0.source == communicator.rank }
    let incoming = wave.first { $0.destination == communicator.rank }
    let sent = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: min(Self.blockBytes, outgoing?.length ?? 0))
    let received = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: min(Self.blockBytes, incoming?.length ?? 0))
    sent.initialize(repeating: 0)
    var shard: ShardFile?
    var copy: ShardCopy?
    attempt {
      shard = try outgoing.map { try ShardFile(path: "\(source)/\($0.file)") }
      copy = try incoming.map { try ShardCopy(path: "\(destination)/\($0.file)", files: files) }
    }
    for start in stride(from: 0, to: wave.map(\.length).max() ?? 0, by: Self.blockBytes) {
      func block(_ transfer: ShardTransfer?) -> Int {
        max(0, min(Self.blockBytes, (transfer?.length ?? 0) - start))
      }
      func layout(_ rank: Int?, _ count: Int) -> RankCounts {
        var counts = [Int](repeating: 0, count: communicator.size)
        if let rank { counts[rank] = count }
        return RankCounts(counts: counts, offsets: .init(repeating: 0, count: counts.count))
      }
      let (out, into) = (block(outgoing), block(incoming))
      if out > 0 {
        attempt { try shard?.read(into: .init(rebasing: UnsafeMutableRawBufferPointer(sent)[..<out]), at: start) }
      }
      let plan = ExchangePlan(send: layout(outgoing?.destination, out), receive: layout(incoming?.source, into))
      try communicator.startAllToAll(arena: UnsafeBufferPointer(sent), into: received, plan: plan)
        .wait(pollingEvery: Self.pollInterval)
      if into > 0, let copy {
        attempt { try copy.write(.init(rebasing: UnsafeRawBufferPointer(received)[..<into]), at: start) }
      }
    }
    attempt { try copy?.finish() }
    // Leaked after an MPI error: an exchange may still access them.
    sent.deallocate()
    received.deallocate()
  }
}
