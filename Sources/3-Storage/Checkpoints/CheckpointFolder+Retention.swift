import Support

extension CheckpointFolder {
  /// Applies the retention policy: deletes all but the newest `keepLast` checkpoints, every step that is a multiple of
  /// `keepEvery` and the `keepBest` with the lowest validation losses (`validation_loss` in their metadata), oldest
  /// first.
  ///
  /// Nothing is deleted before one of the newest is read back and verified, so there is always a valid one.
  ///
  /// - Parameters:
  ///   - verified: a step that this process has already verified or resumed from, and need not read again.
  ///   - report: called with every kept checkpoint that is damaged.
  /// - Returns: the step that was verified, for the next call.
  @discardableResult
  public func prune(
    keepLast: Int, keepEvery: Int? = nil, keepBest: Int = 0, verified: Int? = nil, threads: Int = 1,
    report: (ForgeError) -> Void = { _ in }
  ) throws -> Int? {
    let deletions = deletions(by: Retention(keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest))
    guard !deletions.isEmpty else { return verified }
    let newest = steps().suffix(keepLast)
    let sound = verified.flatMap { newest.contains($0) ? $0 : nil }
    guard let sound = sound ?? newest.reversed().first(where: { isSound(step: $0, threads: threads, report) }) else {
      return nil
    }
    if let latestStep, deletions.contains(latestStep) {  // a crash kept it from moving on
      try moveLatest(to: sound, root: CheckpointReader(path: path(step: sound)).root)
    }
    for step in deletions { try delete(step: step) }
    return sound
  }

  /// The steps that ``prune(keepLast:keepEvery:keepBest:verified:threads:report:)`` would delete.
  public func deletions(by retention: Retention) -> [Int] {
    let steps = steps()
    var (losses, sets): ([Int: Double], [Int: String]) = ([:], [:])
    if retention.keepBest > 0, steps.count > retention.keepLast {
      for step in steps {
        guard let reader = try? CheckpointReader(path: path(step: step)) else { continue }
        (losses[step], sets[step]) = (reader.validationLoss, reader.validationSets)
      }
    }
    return retention.deletions(steps: steps, losses: losses, sets: sets)
  }

  /// Deletes a checkpoint atomically: a part of it never has a checkpoint's name.
  public func delete(step: Int) throws {
    let deleting = path(step: step) + Self.deletingSuffix
    if exists(deleting) { try files.removeTree(deleting) }
    try files.rename(path(step: step), to: deleting)
    try files.synchronizeFolder(path)
    try files.removeTree(deleting)
  }

  /// Deletes every checkpoint of a later step, whose contents may be corrupt.
  public func remove(after last: Int) throws {
    let steps = steps()
    guard let doubtful = steps.last, doubtful > last else { return }
    if let kept = steps.last(where: { $0 <= last }), let latestStep, latestStep > last,
      let root = try? CheckpointReader(path: path(step: kept)).root
    {
      try moveLatest(to: kept, root: root)
    }
    for step in steps.reversed() where step > last { try delete(step: step) }
  }

  private func isSound(step: Int, threads: Int, _ report: (ForgeError) -> Void) -> Bool {
    do {
      try CheckpointReader(path: path(step: step)).verify(threads: threads)
      return true
    } catch let error as ForgeError {
      report(error)
      return false
    } catch {
      return false
    }
  }
}
