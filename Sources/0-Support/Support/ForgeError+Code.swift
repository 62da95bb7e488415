import Foundation

extension ForgeError {
  /// What has failed, by a name that programs can rely on. (docs/errors.md says what to do about each.)
  public enum Code: String, Sendable, CaseIterable {
    // The configuration.

    /// A key that is no setting.
    case unknownSetting = "unknown_setting"
    /// A setting whose value cannot be.
    case invalidSetting = "invalid_setting"
    /// A setting without which there is no run.
    case missingSetting = "missing_setting"
    /// Settings that contradict each other.
    case conflictingSettings = "conflicting_settings"
    /// A layout over ranks that cannot be: their number, the expert degree and the model do not go together.
    case invalidLayout = "invalid_layout"
    /// A run that was started with other settings or CPU kernels than it should go on with.
    case runDiffers = "run_differs"

    // A command.

    /// An argument of a command that is missing, unknown or cannot be.
    case invalidArgument = "invalid_argument"

    // Files.

    /// A file, folder, run, checkpoint, dataset or model that is not there.
    case fileNotFound = "file_not_found"
    /// Something that is there and is not what the command needs, such as a folder that is no run.
    case wrongKind = "wrong_kind"
    /// A file that the system does not let be read.
    case fileUnreadable = "file_unreadable"
    /// A file or folder that this user may not read or write.
    case permissionDenied = "permission_denied"
    /// A file that is not of the form that it must have, such as YAML with a syntax error.
    case malformedFile = "malformed_file"
    /// A file that is not what was written: cut short, changed or contradicting its checksum.
    case fileDamaged = "file_damaged"
    /// An output that is there already.
    case fileExists = "file_exists"
    /// A disk or quota that is full.
    case diskFull = "disk_full"
    /// A file that could not be written for another reason.
    case writeFailed = "write_failed"

    // Models and data.

    /// A model that these programs cannot compute.
    case unsupportedModel = "unsupported_model"
    /// A file in a format, or of a version, that these programs do not read.
    case unsupportedFormat = "unsupported_format"
    /// Weights that are not those of the configuration's model.
    case weightsMismatch = "weights_mismatch"
    /// Token ids that are not the model's: of another tokenizer, or beyond the vocabulary.
    case tokenizerMismatch = "tokenizer_mismatch"
    /// Data, a checkpoint or a tokenizer that is another than was recorded.
    case dataChanged = "data_changed"
    /// An input with nothing in it to work on.
    case emptyInput = "empty_input"
    /// A text that cannot be read or encoded without loss.
    case unreadableText = "unreadable_text"
    /// A text or sequence with more tokens than the model or the format takes.
    case tooLong = "too_long"
    /// Numbers that have left their range: training has diverged, or a narrow format cannot hold the weights.
    case diverged

    // Machines.

    /// A library or processor that lacks what is needed.
    case unsupportedMachine = "unsupported_machine"
    /// A need for memory that this machine, or its limits, do not allow.
    case doesNotFit = "does_not_fit"
    /// Memory that is used up.
    case outOfMemory = "out_of_memory"
    /// Threads or processes that the system does not start.
    case outOfThreads = "out_of_threads"
    /// Parameters that have changed in memory by themselves.
    case memoryCorrupted = "memory_corrupted"

    // Ranks and jobs.

    /// Ranks with another configuration, program, processor or file than rank 0.
    case ranksDisagree = "ranks_disagree"
    /// A run directory that another job writes to.
    case runInUse = "run_in_use"
    /// A run that was restarted again and again and gets nowhere.
    case restartsExhausted = "restarts_exhausted"
    /// A rank, or the network to it, that failed.
    case rankFailed = "rank_failed"
    /// A step that took longer than the watchdog allows.
    case timedOut = "timed_out"

    // Ourselves.

    /// A bug of these programs.
    case internalError = "internal_error"
  }
}

extension ForgeError.Code {
  /// What a system call's `errno` means.
  ///
  /// - Parameters:
  ///   - number: the value of `errno`.
  ///   - other: for what has no code of its own.
  public static func system(_ number: Int32, else other: Self) -> Self {
    switch number {
    case ENOSPC, EDQUOT: .diskFull
    case ENOENT: .fileNotFound
    case EACCES, EPERM, EROFS: .permissionDenied
    case EEXIST, ENOTEMPTY: .fileExists
    case ENOMEM: .outOfMemory
    default: other
    }
  }

  /// The same of an error that Foundation throws.
  public static func system(_ error: any Error, else other: Self) -> Self {
    if let number = systemNumber(of: error) { return system(number, else: other) }
    switch (error as? CocoaError)?.code {
    case .fileWriteOutOfSpace: return .diskFull
    case .fileNoSuchFile, .fileReadNoSuchFile: return .fileNotFound
    case .fileReadNoPermission, .fileWriteNoPermission, .fileWriteVolumeReadOnly: return .permissionDenied
    case .fileWriteFileExists: return .fileExists
    default: return other
    }
  }
}
