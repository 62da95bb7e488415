import Sharding
import Testing

struct MeshShapeTests {
  /// Every coordinate belongs to one rank, and the last axis runs fastest.
  @Test(arguments: [(1, 1, 1, 1), (2, 1, 1, 1), (1, 2, 1, 1), (3, 2, 1, 1), (2, 3, 2, 2)])
  func ranksAndCoordinatesAreOneToOne(expert: Int, tensor: Int, context: Int, pipeline: Int) {
    let shape = MeshShape(
      ranks: 12 * expert * tensor * context * pipeline, expert: expert, tensor: tensor, context: context,
      pipeline: pipeline)
    #expect(shape.size(of: .data) == 12)
    for rank in 0..<shape.ranks {
      let coordinate = shape.coordinate(ofRank: rank)
      #expect(shape.index(of: coordinate, along: MeshShape.Axis.allCases) == rank)
      for axis in MeshShape.Axis.allCases { #expect((0..<shape.size(of: axis)).contains(coordinate[axis])) }
    }
    let neighbour = shape.coordinate(ofRank: 1)
    #expect(neighbour[tensor > 1 ? .tensor : expert > 1 ? .expert : .data] == 1 || context > 1)
  }

  /// Micro-batches are assigned to data × expert, with any other axes.
  @Test func duplicatesHaveOneBatchRank() {
    let (plain, doubled) = (MeshShape(ranks: 6, expert: 3), MeshShape(ranks: 12, expert: 3, tensor: 2))
    for rank in 0..<12 {
      let place = doubled.index(of: doubled.coordinate(ofRank: rank), along: [.data, .expert])
      #expect(place == rank / 2)
      #expect(plain.index(of: plain.coordinate(ofRank: rank / 2), along: [.data, .expert]) == rank / 2)
    }
  }
}
