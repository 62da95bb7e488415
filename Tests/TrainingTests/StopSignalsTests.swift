import Foundation
import Testing

@testable import Training

@Suite(.serialized) struct StopSignalsTests {
  /// Tests run on threads that block all signals; a program's main thread does not.
  private func unblocked(_ body: () throws -> Void) rethrows {
    var (signals, earlier) = (sigset_t(), sigset_t())
    sigemptyset(&signals)
    for signal in [SIGUSR1, SIGTERM] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_UNBLOCK, &signals, &earlier)
    defer { pthread_sigmask(SIG_SETMASK, &earlier, nil) }
    try body()
  }

  @Test(arguments: [SIGUSR1, SIGTERM]) func theSignalIsRemembered(signal: Int32) {
    StopSignals.install()
    #expect(!StopSignals.requested)
    unblocked { _ = raise(signal) }
    #expect(StopSignals.requested)
  }

  @Test func anInterruptedSystemCallGoesOn() throws {
    StopSignals.install()
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let (output, input, reader) = (ends[0], ends[1], pthread_self())
    let sender = Thread {
      usleep(50_000)
      pthread_kill(reader, SIGUSR1)
      usleep(50_000)
      _ = write(input, "x", 1)
    }
    sender.start()
    var byte: UInt8 = 0
    unblocked { #expect(read(output, &byte, 1) == 1, "without SA_RESTART this would be EINTR") }
    #expect(StopSignals.requested && byte == UInt8(ascii: "x"))
    close(input)
    close(output)
  }
}
