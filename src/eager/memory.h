// Memory: the buffers of tensors that eager programs get from us before anything is computed. A buffer knows what is
// to be written into it; when nobody has its tensor any more before that, it goes back unwritten.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "eager/trace.h"

namespace dvm::eager {

/// A value of the trace that belongs into memory.
struct Pending {
  Region region;
  int value = -1;
  bool derived = false;  // a view of another one: not written by itself
};

struct Buffer {
  char* data = nullptr;
  std::int64_t bytes = 0;
  bool alive = true;     // tensors have it
  bool exposed = false;  // somebody may read or write it without our knowing
  bool listed = false;   // a recorder looks at it: the struct stays, whatever becomes of the memory
  bool running = false;  // it is being written: the memory stays
  std::vector<Pending> pending;
};

/// Buffers of the process. Thread-safe: tensors die in any thread.
class Memory {
 public:
  /// Never destroyed, as tensors may outlive everything.
  static Memory& process();

  /// Memory for `bytes` bytes, that was perhaps used before. Throws std::bad_alloc.
  Buffer* allocate(std::int64_t bytes);
  /// Nobody has the tensor any more.
  void release(Buffer* buffer);
  /// The buffer that `address` lies in, or null.
  Buffer* find(const char* address);
  /// Those of `buffers` that are alive, which stay so until `end`.
  std::vector<Buffer*> begin(const std::vector<Buffer*>& buffers);
  /// A recorder looks at them no more.
  void end(const std::vector<Buffer*>& buffers);

 private:
  char* take(std::int64_t bytes);
  void give(char* data, std::int64_t bytes);
  void forget(Buffer* buffer);

  std::mutex mutex_;
  std::map<const char*, Buffer*> buffers_;  // those that are alive, by where they begin
  std::unordered_map<std::int64_t, std::vector<char*>> unused_;  // by bytes
  std::int64_t unused_bytes_ = 0;
};

/// Memory for results that are copied to their place afterwards.
class Scratch {
 public:
  explicit Scratch(std::int64_t bytes) : buffer_(Memory::process().allocate(bytes)) {}
  ~Scratch() {
    if (buffer_ != nullptr) Memory::process().release(buffer_);
  }
  Scratch(Scratch&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() const { return buffer_->data; }

 private:
  Buffer* buffer_;
};

}  // namespace dvm::eager
