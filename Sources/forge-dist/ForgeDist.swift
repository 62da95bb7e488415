import ArgumentParser
import Diagnostics
import Foundation
import Kernels
import MPI
import Training

/// The program that MPI launches.
@main
struct ForgeDist: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forge-dist",
    abstract: "Train a language model over MPI ranks.",
    discussion: """
      mpirun -n 2 forge-dist                                   the built-in quickstart recipe
      mpirun -n 64 forge-dist configs/pretrain-moe.yaml        the same line again continues the run
      mpirun -n 2 forge-dist run.yaml --set optimizer.learning_rate=3e-4
      """,
    version: "forge-dist \(Version.current) (CPU kernels \(KernelFamily.current), \(KernelFamily.libraryDescription), "
      + "\(LibraryVersion.description))",
    subcommands: [Train.self],
    defaultSubcommand: Train.self)

  /// OpenBLAS must run the right kernels before anything else happens, which may restart the program.
  static func main() {
    let pinned = Train.pinnedFamily(CommandLine.arguments)
    do { try KernelFamily.prepareProcess(pinned: pinned) } catch {
      FileHandle.standardError.write(Data("forge-dist: \(error)\n".utf8))
      Foundation.exit(64)
    }
    main(nil)
  }
}
