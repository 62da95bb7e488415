import Foundation

extension ForgeError {
  /// An error code: a stable name for a kind of failure. (docs/errors.md has a recommended action for each.)
  public enum Code: String, Sendable, CaseIterable {
    // The configuration.

    /// A key that is not a setting.
    case unknownSetting = "unknown_setting"
    /// A setting with an invalid value.
    case invalidSetting = "invalid_setting"
    /// A required setting that is missing.
    case missingSetting = "missing_setting"
    /// Settings that contradict each other.
    case conflictingSettings = "conflicting_settings"
    /// A parallel layout that is impossible: the number of ranks, the expert degree and the model do not fit together.
    case invalidLayout = "invalid_layout"
    /// A run that was started with settings or CPU kernels other than those given now.
    case runDiffers = "run_differs"

    // A command.

    /// An argument of a command that is missing, unknown or invalid.
    case invalidArgument = "invalid_argument"

    // Files.

    /// A file, folder, run, checkpoint, dataset or model that does not exist.
    case fileNotFound = "file_not_found"
    /// A path of another kind than the command needs, such as a folder that is not a run.
    case wrongKind = "wrong_kind"
    /// A file that the system cannot read.
    case fileUnreadable = "file_unreadable"
    /// A file or folder that this user has no permission to read or write, or a read-only file system.
    case permissionDenied = "permission_denied"
    /// A file that cannot be parsed, such as YAML with a syntax error.
    case malformedFile = "malformed_file"
    /// A corrupt file: truncated, changed or with a wrong checksum.
    case fileDamaged = "file_damaged"
    /// An output that already exists.
    case fileExists = "file_exists"
    /// A full disk or an exhausted quota.
    case diskFull = "disk_full"
    /// A write that failed for another reason.
    case writeFailed = "write_failed"

    // Models and data.

    /// A model, or an option of one, that is not supported.
    case unsupportedModel = "unsupported_model"
    /// A file format, or a version of one, that is not supported.
    case unsupportedFormat = "unsupported_format"
    /// Weights that do not match the configuration's model.
    case weightsMismatch = "weights_mismatch"
    /// Token ids of another tokenizer, or outside the vocabulary.
    case tokenizerMismatch = "tokenizer_mismatch"
    /// Data, a checkpoint or a tokenizer that differs from the recorded one.
    case dataChanged = "data_changed"
    /// An input without data, or with too little.
    case emptyInput = "empty_input"
    /// A text that cannot be decoded or encoded without loss.
    case unreadableText = "unreadable_text"
    /// A text or sequence with more tokens than the model or the file format allows.
    case tooLong = "too_long"
    /// Values out of range: training has diverged, or a narrow number format cannot represent the weights.
    case diverged

    // Machines.

    /// A library that is missing, or a library or processor without a required feature.
    case unsupportedMachine = "unsupported_machine"
    /// A memory requirement above what this machine, or its limits, allow.
    case doesNotFit = "does_not_fit"
    /// A memory allocation that failed.
    case outOfMemory = "out_of_memory"
    /// Threads or processes that the system cannot start.
    case outOfThreads = "out_of_threads"
    /// Silent data corruption (SDC): parameters that changed in memory.
    case memoryCorrupted = "memory_corrupted"

    // Ranks and jobs.

    /// Ranks whose configuration, program, processor or files differ from those of rank 0.
    case ranksDisagree = "ranks_disagree"
    /// A run directory that another job writes to.
    case runInUse = "run_in_use"
    /// A run that was restarted repeatedly without progress.
    case restartsExhausted = "restarts_exhausted"
    /// A rank, or the network to it, that failed.
    case rankFailed = "rank_failed"
    /// A step that exceeded the watchdog's timeout.
    case timedOut = "timed_out"

    // Internal errors.

    /// A bug in these programs.
    case internalError = "internal_error"
  }
}

extension ForgeError.Code {
  /// The error code of a system call's `errno`.
  ///
  /// - Parameters:
  ///   - number: the value of `errno`.
  ///   - other: the fallback for numbers without a code of their own.
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

  /// The error code of an error that Foundation throws.
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
