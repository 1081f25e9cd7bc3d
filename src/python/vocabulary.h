// The vocabulary of eager programs: what is known of torch's functions and of the calls that were seen, in the whole
// process. A call is met with its pattern first; numbers and sizes count where the same pattern is not always the same
// operation.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "eager/template.h"
#include "python/call_key.h"

namespace dvm::python {

/// What is done with a call.
enum class Treatment : std::uint8_t {
  kDirect,   // torch runs it at once: it reads and changes no elements
  kFlush,    // the same after all that was recorded
  kRead,     // the same if it reads what was recorded
  kExpose,   // as kFlush, and the memory of its operands is somebody's from then on
  kThrough,  // torch runs it, and its parts come back through the dispatcher
  kRecord,   // a Template says what it computes
  kNumbers,  // as kRecord, for each set of numbers on its own
  kSizes,    // the same for each tuple of sizes too
  kForeach,  // it does one thing to each tensor of lists
  kCreate,   // it makes a tensor of numbers, or of nothing
};

/// What is known of the calls of one key.
struct Phrase {
  Treatment treatment = Treatment::kFlush;
  std::unique_ptr<eager::Template> made_by;
  std::vector<int> numbers;  // of the call, for each scalar of the Template
  nb::object pack;           // makes what is returned of several results
  int variants = 0;          // sets of numbers that were seen
};

struct Call {
  PyObject* function;
  PyObject* args;
  PyObject* kwargs;  // or null
  bool dispatched;   // it came through torch's dispatcher
};

class Vocabulary {
 public:
  /// Never destroyed: recorders refer to its Templates.
  static Vocabulary& process();

  /// `helper` classifies functions that are met for the first time.
  Treatment of(PyObject* function, nb::handle helper);
  /// Of a call that `key` has read. `helper` makes Templates.
  Phrase& phrase(CallKey& key, const Call& call, nb::handle helper);
  std::size_t size() const { return phrases_.size(); }

 private:
  struct Hash {
    std::size_t operator()(const std::vector<std::uint64_t>& key) const;
  };
  Phrase& make(CallKey& key, Detail detail, const Call& call, nb::handle helper);

  std::unordered_map<std::vector<std::uint64_t>, Phrase, Hash> phrases_;
  std::unordered_map<PyObject*, Treatment> functions_;
};

}  // namespace dvm::python
