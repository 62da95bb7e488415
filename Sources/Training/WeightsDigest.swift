import Crypto
import Foundation
import Kernels
import Models

/// One hash over all weights: every tensor's fp32 values in the layout's order, little-endian.
public enum WeightsDigest {
  public static func sha256(_ parameters: Buffer<Float>, _ layout: ParameterLayout) -> String {
    var hash = SHA256()
    for tensor in layout.tensors {
      hash.update(bufferPointer: UnsafeRawBufferPointer(parameters[tensor.range].pointer))
    }
    return hash.finalize().map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
