// The recorder of an eager scope: what torch's functions do while it is on. A call is recorded and its result handed
// out before it is computed; or it runs in torch at once, after all that was recorded if it may read or change that.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "eager/memory.h"
#include "eager/segment.h"
#include "python/vocabulary.h"

namespace dvm::python {

// Calls that come meanwhile are our own, and run in torch.
class Busy {
 public:
  explicit Busy(bool& flag) : flag_(flag), before_(std::exchange(flag, true)) {}
  ~Busy() { flag_ = before_; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool& flag_;
  bool before_;
};

class Recorder {
 public:
  /// `helper` is dvm.torch.eager.scope's: it classifies functions, makes Templates, runs calls through the dispatcher, and
  /// owns the recorder.
  Recorder(nb::handle helper, nb::object tensor, nb::object parameter, int limit,
           std::int64_t least_elements);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// A call of a function of torch's, or of an operation that came through the dispatcher.
  nb::object call(PyObject* function, PyObject* args, PyObject* kwargs, bool dispatched);
  /// Computes all that was recorded. `why` is for the account.
  void flush(const std::string& why);

  nb::dict account() const;
  /// While it is on, tensors from outside may be changed later than the program says: no code of its user runs.
  bool trusting = false;

 private:
  struct Runs {
    std::int64_t count = 0;
    double us = 0;
  };
  struct Write {  // into memory that is not ours
    eager::Region region;
    int value;
    nb::object owner;
  };

  nb::object treat(PyObject* function, PyObject* args, PyObject* kwargs, bool dispatched);
  const Phrase& phrase(const Call& call);
  nb::object record(const Phrase& phrase, bool dispatched);
  bool needs_gradients() const;
  bool is_tiny() const;
  bool touches_pending() const;
  bool touches_read() const;
  bool takes_pending_number() const;
  bool resolve(std::size_t operand);
  bool is_lent(PyObject* tensor);
  bool can_write(const Phrase& phrase) const;
  void write(std::size_t operand, int value);
  nb::object fresh(const eager::Region& shape, int value);
  nb::object through(PyObject* function, PyObject* args, PyObject* kwargs) const;
  nb::object create(PyObject* function, PyObject* args, PyObject* kwargs) const;
  nb::object direct(PyObject* function, PyObject* args, PyObject* kwargs) const;
  bool others_run();

  nb::handle helper_;  // which owns this
  nb::object is_grad_enabled_, is_autocast_enabled_;
  PyTypeObject* tensor_type_;
  Framework framework_;
  CallKey key_;

  eager::Trace trace_;
  std::unordered_map<std::shared_ptr<const eager::Segment>, Runs> runs_;
  std::vector<eager::Buffer*> listed_;
  std::vector<Write> writes_;
  std::vector<nb::object> owners_;
  // Of the call in hand, kept for their memory.
  std::vector<int> operands_;
  std::vector<std::uint64_t> numbers_;
  std::vector<TensorView> views_;
  bool exposed_ = false;       // somebody may look at memory that the trace reads or writes
  bool busy_ = false;          // calls are our own
  std::uint64_t threads_ = 0;  // those that ran when it was last asked, as one number
  bool others_run_ = false;
  int limit_;
  std::int64_t least_elements_;

  std::int64_t recorded_ = 0, dead_ = 0;
  std::unordered_map<std::string, std::int64_t> ends_, fallbacks_;
};

}  // namespace dvm::python
