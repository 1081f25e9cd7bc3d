#include "eager/memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

#include "runtime/huge_pages.h"

namespace dvm::eager {
namespace {

constexpr std::int64_t kAlignment = 64;
// What is kept for tensors to come: more is given back to the system.
constexpr std::int64_t kMostUnused = 512 << 20;
// The tables are looked into between the steps of a program, so a few entries are all there are of each size.
constexpr std::size_t kMostOfOneSize = 64;

// Four sizes between powers of two, so that a quarter at most is wasted, and sizes that are close share memory.
std::int64_t rounded(std::int64_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  const auto power = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(bytes)));
  const std::int64_t step = std::max(power / 4, kAlignment);
  return (bytes + step - 1) / step * step;
}

}  // namespace

Memory& Memory::process() {
  static auto* const memory = new Memory;
  return *memory;
}

char* Memory::take(std::int64_t bytes) {
  const auto found = unused_.find(bytes);
  if (found != unused_.end() && !found->second.empty()) {
    char* const data = found->second.back();
    found->second.pop_back();
    unused_bytes_ -= bytes;
    return data;
  }
  auto* const data =
      static_cast<char*>(std::aligned_alloc(kAlignment, static_cast<std::size_t>(bytes)));
  if (data == nullptr) throw std::bad_alloc();
  prefer_huge_pages(data, bytes);
  return data;
}

void Memory::give(char* data, std::int64_t bytes) {
  std::vector<char*>& unused = unused_[bytes];
  if (unused_bytes_ + bytes > kMostUnused || unused.size() >= kMostOfOneSize) {
    std::free(data);
    return;
  }
  unused.push_back(data);
  unused_bytes_ += bytes;
}

Buffer* Memory::allocate(std::int64_t bytes) {
  const std::int64_t whole = rounded(bytes);
  const std::lock_guard lock(mutex_);
  auto* const buffer = new Buffer;
  try {
    buffer->data = take(whole);
  } catch (...) {
    delete buffer;
    throw;
  }
  buffer->bytes = whole;
  buffers_.emplace(buffer->data, buffer);
  return buffer;
}

void Memory::forget(Buffer* buffer) {
  give(buffer->data, buffer->bytes);
  buffer->data = nullptr;
}

void Memory::release(Buffer* buffer) {
  const std::lock_guard lock(mutex_);
  buffers_.erase(buffer->data);
  buffer->alive = false;
  if (buffer->running) return;  // end() does the rest
  forget(buffer);
  if (!buffer->listed) delete buffer;
}

Buffer* Memory::find(const char* address) {
  const std::lock_guard lock(mutex_);
  auto after = buffers_.upper_bound(address);
  if (after == buffers_.begin()) return nullptr;
  Buffer* const buffer = std::prev(after)->second;
  return address < buffer->data + buffer->bytes ? buffer : nullptr;
}

std::vector<Buffer*> Memory::begin(const std::vector<Buffer*>& buffers) {
  const std::lock_guard lock(mutex_);
  std::vector<Buffer*> alive;
  for (Buffer* const buffer : buffers) {
    if (!buffer->alive) continue;
    buffer->running = true;
    alive.push_back(buffer);
  }
  return alive;
}

void Memory::end(const std::vector<Buffer*>& buffers) {
  const std::lock_guard lock(mutex_);
  for (Buffer* const buffer : buffers) {
    buffer->pending.clear();
    buffer->listed = false;
    const bool ran = buffer->running;
    buffer->running = false;
    if (buffer->alive) continue;
    if (ran) forget(buffer);
    delete buffer;
  }
}

}  // namespace dvm::eager
