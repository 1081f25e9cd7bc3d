// Where operands and results of recorded calls lie: which memory is yet to be written, and by which value of the trace.
#include <algorithm>

#include "eager/derive.h"
#include "python/recorder.h"

namespace dvm::python {
namespace {

bool shares_elements(const eager::Region& region) {
  for (int i = 0; i < region.layout.rank; ++i) {
    if (region.layout.sizes[i] > 1 && region.layout.strides[i] == 0) return true;
  }
  return false;
}

}  // namespace

// Whether an operand lies in memory that is yet to be written.
bool Recorder::touches_pending() const {
  return std::ranges::any_of(key_.regions(), [&](const eager::Region& region) {
    const eager::Buffer* const buffer = eager::Memory::process().find(region.data);
    if (buffer != nullptr) return !buffer->pending.empty();
    return std::ranges::any_of(writes_,
                               [&](const Write& write) { return overlap(write.region, region); });
  });
}

// Whether an operand that may be taken for a number is yet to be computed.
bool Recorder::takes_pending_number() const {
  return std::ranges::any_of(key_.regions(), [](const eager::Region& region) {
    const eager::Buffer* const buffer = eager::Memory::process().find(region.data);
    return region.layout.elements() == 1 && buffer != nullptr && !buffer->pending.empty();
  });
}

// Whether an operand lies in memory that the trace is yet to read.
bool Recorder::touches_read() const {
  return std::ranges::any_of(key_.regions(), [&](const eager::Region& region) {
    return std::ranges::any_of(trace_.externals(), [&](const eager::Region& external) {
      return overlap(external, region);
    });
  });
}

bool Recorder::is_lent(PyObject* tensor) {
  const Busy busy(busy_);
  return nb::cast<bool>(helper_.attr("is_lent")(nb::handle(tensor)));
}

// Finds the value of an operand. False when the trace had to be run first, and all operands are to be looked at again.
bool Recorder::resolve(std::size_t operand) {
  const eager::Region& region = key_.regions()[operand];
  const auto outside = [&] {
    const int before = trace_.values();
    operands_.push_back(trace_.external(region));
    if (trace_.values() != before) {
      PyObject* const tensor = key_.tensors()[operand];
      owners_.push_back(nb::borrow(tensor));
      if (eager::Memory::process().find(region.data) == nullptr) exposed_ |= is_lent(tensor);
    }
    return true;
  };
  for (const Write& write : writes_) {
    if (same(write.region, region.view())) {
      operands_.push_back(write.value);
      return true;
    }
    if (overlap(write.region, region)) {
      flush("a view of what is changed");
      return false;
    }
  }
  eager::Buffer* const buffer = eager::Memory::process().find(region.data);
  if (buffer == nullptr || buffer->pending.empty()) return outside();
  for (const eager::Pending& pending : buffer->pending) {
    if (same(pending.region, region.view())) {
      operands_.push_back(pending.value);
      return true;
    }
  }
  for (const eager::Pending& pending : buffer->pending) {
    if (auto view = eager::derive(pending.value, pending.region, region)) {
      const int value = trace_.view(std::move(*view));
      buffer->pending.push_back({region, value, true});
      operands_.push_back(value);
      return true;
    }
  }
  for (const eager::Pending& pending : buffer->pending) {
    if (overlap(pending.region, region)) {
      flush("a view that no kernel can take");
      return false;
    }
  }
  return outside();
}

// An error of torch's otherwise.
bool Recorder::can_write(const Phrase& phrase) const {
  for (int i = 0; i < phrase.made_by->results(); ++i) {
    const int target = phrase.made_by->writes(i);
    if (target >= 0 && shares_elements(key_.regions()[target])) return false;
  }
  return true;
}

void Recorder::write(std::size_t operand, int value) {
  const eager::Region& region = key_.regions()[operand];
  eager::Buffer* const buffer = eager::Memory::process().find(region.data);
  if (buffer == nullptr) {
    for (Write& write : writes_) {
      if (same(write.region, region.view())) {
        write.value = value;
        return;
      }
    }
    writes_.push_back({region, value, nb::borrow(key_.tensors()[operand])});
    exposed_ |= !trusting;
    return;
  }
  for (eager::Pending& pending : buffer->pending) {
    if (!pending.derived && same(pending.region, region.view())) {
      pending.value = value;
      std::erase_if(buffer->pending, [](const eager::Pending& each) { return each.derived; });
      return;
    }
  }
  buffer->pending.push_back({region, value, false});
  if (!buffer->listed) {
    buffer->listed = true;
    listed_.push_back(buffer);
  }
  exposed_ |= buffer->exposed;
}

nb::object Recorder::fresh(const eager::Region& shape, int value) {
  eager::Region region = shape;
  const std::int64_t count = region.layout.elements() * bytes(region.type);
  eager::Buffer* const buffer = eager::Memory::process().allocate(count);
  region.data = buffer->data;
  nb::object tensor = tensor_of(framework_, region, buffer);
  buffer->pending.push_back({region, value, false});
  buffer->listed = true;
  listed_.push_back(buffer);
  return tensor;
}

}  // namespace dvm::python
