import Parallelism
import RunConfiguration
import RunStore
import Support

/// What the run is made from: that it is what it was, and what is kept of it.
extension Trainer {
  /// Checks a run that begins.
  ///
  /// - Throws: `ForgeError.badInput` when its sources do not belong together, or a wish cannot be granted.
  func checkSources() throws {
    if let mixed = state.found.sources.mixedTokenizers { throw ForgeError.badInput(mixed) }
    if let violation = validationViolation { throw violation }
  }

  /// Checks a run that continues. What its recorded configuration asked for already is only warned of, whatever is refused
  /// of new runs today.
  func checkSources(continuing record: RunRecord) throws {
    if let mixed = state.found.sources.mixedTokenizers {
      // A version that did not look for it started the run.
      guard record.sources.map(state.found.sources.hasOnlyData) ?? true else { throw ForgeError.badInput(mixed) }
      note("warning: \(mixed)")
    }
    if let violation = validationViolation {
      guard record.hasSame(["validation", "data.validation"], as: configuration) else { throw violation }
      note("warning: \(violation); the run goes on without validation, as it was started")
    }
    if let identity = validationIdentity, identity != record.validationSets,
      record.validationSets != nil || record.validationLoss != nil
    {
      note(
        "note: validation looks at other sequences than until step \(step): losses before and after it are not comparable, "
          + "and checkpoint.keep_best keeps the best of both")
    }
    if let recorded = record.sources {
      state.found.sources.moves(since: recorded).forEach(note)
      state.found.complete(from: recorded)
    }
  }

  /// What the run's validation losses are of; nil where nothing is validated.
  var validationIdentity: String? { validation?.identity(state.found.sources.validation, configuration) }

  /// Keeps, on rank 0, what the run needs of its sources later. A disk that takes nothing costs no more than that.
  func keepSources() {
    guard communicator.isLeader else { return }
    do {
      try state.found.remembered.write(to: directory.sources)
      try RunTokenizer.keep(
        RunTokenizer.source(configuration, state.found.sources), expected: state.found.sources.tokenizer,
        in: directory)
    } catch { note("\(error)") }
    state.found.leaveMarks(run: directory.path)
  }
}
