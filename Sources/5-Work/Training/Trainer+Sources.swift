import Parallelism
import RunConfiguration
import RunStore
import Support

/// The sources of the run: consistency checks, and what is stored of them.
extension Trainer {
  /// Validates the sources of a new run.
  ///
  /// - Throws: `ForgeError.badInput` when tokenizers differ, or the configured validation is impossible.
  func checkSources() throws {
    if let mixed = state.found.sources.mixedTokenizers { throw mixed.error() }
    if let violation = validationViolation { throw violation }
  }

  /// Validates the sources of a resumed run. What its recorded configuration had already is a warning, even where it is
  /// an error for new runs.
  func checkSources(continuing record: RunRecord) throws {
    if let mixed = state.found.sources.mixedTokenizers {
      // The run was started by a version without this check.
      guard record.sources.map(state.found.sources.hasOnlyData) ?? true else { throw mixed.error() }
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

  /// The identity of the validation sets; nil without validation.
  var validationIdentity: String? { validation?.identity(state.found.sources.validation, configuration) }

  /// Stores, on rank 0, the source cache and the tokenizer in the run directory, and records the use of prepared
  /// folders. An error is logged only.
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
