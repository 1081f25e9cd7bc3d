#include "python/recorder.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "python/callable.h"
#include "python/module.h"

namespace dvm::python {
namespace {

// A step of an optimizer changes each parameter by operations that lie far apart: it is best computed as a whole.
constexpr int kTrusted = 16;
// Segments that the account knows.
constexpr std::size_t kMostRuns = 4096;
// Below this the GIL is not worth giving away.
constexpr std::int64_t kReleaseGilBytes = 1 << 20;

// What a function without arguments says.
bool is_true(const nb::object& function) {
  PyObject* const said = PyObject_CallNoArgs(function.ptr());
  if (said == nullptr) throw nb::python_error();
  Py_DECREF(said);  // True and False live for ever
  return said == Py_True;
}

bool requires_gradients(const nb::object& tensor) {
  return nb::cast<bool>(tensor.attr("requires_grad"));
}

// Where the folder of a package is, with a slash at its end.
std::string folder_of(const char* package) {
  const std::string file = nb::cast<std::string>(nb::module_::import_(package).attr("__file__"));
  return file.substr(0, file.rfind('/') + 1);
}

// The line of the program that is running, without torch and us: " at FILE:LINE".
std::string place() {
  static const auto* const torch = new std::string(folder_of("torch"));
  static const auto* const ours = new std::string(folder_of("dvm.torch"));
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  while (frame != nullptr) {
    PyCodeObject* const code = PyFrame_GetCode(frame);
    const char* const file = PyUnicode_AsUTF8(code->co_filename);
    Py_DECREF(code);
    const std::string_view name = file == nullptr ? "" : file;
    if (!name.starts_with(*torch) && !name.starts_with(*ours) && !name.starts_with('<')) {
      std::string text = " at " + std::string(name.substr(name.rfind('/') + 1)) + ":" +
                         std::to_string(PyFrame_GetLineNumber(frame));
      Py_DECREF(frame);
      return text;
    }
    PyFrameObject* const outer = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = outer;
  }
  PyErr_Clear();
  return "";
}

std::string name_of(PyObject* function) {
  const nb::object name = nb::getattr(nb::handle(function), "__name__", nb::none());
  return nb::cast<std::string>(nb::str(name.is_none() ? nb::handle(function) : nb::handle(name)));
}

}  // namespace

Recorder::Recorder(nb::handle helper, nb::object tensor, nb::object parameter, int limit,
                   std::int64_t least_elements)
    : helper_(helper),
      is_grad_enabled_(nb::module_::import_("torch").attr("is_grad_enabled")),
      is_autocast_enabled_(nb::module_::import_("torch._C").attr("_is_any_autocast_enabled")),
      tensor_type_(reinterpret_cast<PyTypeObject*>(tensor.ptr())),
      framework_(framework_of(reinterpret_cast<PyTypeObject*>(tensor.ptr()))),
      key_(reinterpret_cast<PyTypeObject*>(tensor.ptr()),
           reinterpret_cast<PyTypeObject*>(parameter.ptr())),
      limit_(limit),
      least_elements_(least_elements) {}

Recorder::~Recorder() { eager::Memory::process().end(listed_); }

nb::object Recorder::direct(PyObject* function, PyObject* args, PyObject* kwargs) const {
  PyObject* const result = PyObject_Call(function, args, kwargs == Py_None ? nullptr : kwargs);
  if (result == nullptr) throw nb::python_error();
  return nb::steal(result);
}

// Threads that this scope does not see might read what is not computed yet. The helper knows those that never do.
bool Recorder::others_run() {
  std::uint64_t threads = 0;
  PyThreadState* state = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
  if (PyThreadState_Next(state) == nullptr) return false;
  for (; state != nullptr; state = PyThreadState_Next(state))
    threads = (threads ^ PyThreadState_GetID(state)) * 0x9e3779b97f4a7c15u;
  if (threads != threads_) {
    threads_ = threads;
    others_run_ = nb::cast<bool>(helper_.attr("others_run")());
  }
  return others_run_;
}

nb::object Recorder::call(PyObject* function, PyObject* args, PyObject* kwargs, bool dispatched) {
  try {
    return treat(function, args, kwargs, dispatched);
  } catch (nb::python_error& error) {
    // Torch refuses to resize memory of ours before it does anything else: it gets memory of its own, and tries again.
    if (std::string_view(error.what()).find("storage that is not resizable") == std::string::npos ||
        !nb::cast<bool>(helper_.attr("make_resizable")(
            nb::handle(args), kwargs == nullptr ? nb::none() : nb::borrow(kwargs))))
      throw;
  }
  return direct(function, args, kwargs);
}

nb::object Recorder::treat(PyObject* function, PyObject* args, PyObject* kwargs, bool dispatched) {
  if (busy_) return direct(function, args, kwargs);
  // Getters and setters of attributes: none reads elements.
  if (std::string_view(Py_TYPE(function)->tp_name) == "method-wrapper")
    return direct(function, args, kwargs);
  Treatment treatment = Vocabulary::process().of(function, helper_);
  if (treatment == Treatment::kDirect) return direct(function, args, kwargs);
  if (treatment == Treatment::kCreate) {
    const bool is_told = key_.read(function, args, kwargs) && !takes_pending_number();
    if (!trace_.empty() && !is_told) flush(name_of(function));
    return create(function, args, kwargs);
  }
  if (treatment == Treatment::kForeach) {
    nb::object made = helper_.attr("foreach")(nb::handle(function), nb::handle(args),
                                              kwargs == nullptr ? nb::none() : nb::borrow(kwargs));
    if (!made.is(nb::handle(Py_NotImplemented))) return made;
    treatment = Treatment::kFlush;
  }
  if (treatment == Treatment::kRecord && others_run()) {
    treatment = Treatment::kFlush;
    if (!trace_.empty()) flush("another thread runs");
  }
  if (treatment == Treatment::kRecord) {
    if (!key_.read(function, args, kwargs)) {
      treatment = key_.tensors().empty() && trace_.empty() ? Treatment::kDirect : Treatment::kFlush;
    } else if (is_tiny() && !touches_pending() && !touches_read()) {
      return direct(function, args, kwargs);
    } else {
      // Autograd has to see the parts of what it differentiates, and autocast converts them.
      if (!dispatched && (needs_gradients() || is_true(is_autocast_enabled_)))
        return through(function, args, kwargs);
      const Phrase& found = phrase({function, args, kwargs, dispatched});
      treatment = found.treatment;
      if (treatment == Treatment::kRecord && !can_write(found)) treatment = Treatment::kFlush;
      if (treatment == Treatment::kRecord) return record(found, dispatched);
    }
  }
  if (treatment == Treatment::kThrough && !dispatched) return through(function, args, kwargs);
  // A view of one tensor, by numbers that others hold.
  if (treatment == Treatment::kDirect && key_.tensors().size() > 1 && touches_pending())
    flush(name_of(function));
  if (treatment != Treatment::kDirect) {
    ++fallbacks_[name_of(function)];
    // It concerns its operands alone: what it reads has to be there, and what it may change must have been read.
    const bool is_apart = key_.read(function, args, kwargs) && !touches_pending() &&
                          (treatment == Treatment::kRead || !touches_read());
    if (!trace_.empty() && !is_apart) flush(name_of(function));
    if (treatment == Treatment::kExpose && key_.read(function, args, kwargs)) {
      for (const eager::Region& region : key_.regions()) {
        if (eager::Buffer* const buffer = eager::Memory::process().find(region.data))
          buffer->exposed = true;
      }
    }
  }
  return direct(function, args, kwargs);
}

nb::object Recorder::through(PyObject* function, PyObject* args, PyObject* kwargs) const {
  return helper_.attr("through")(nb::handle(function), nb::handle(args),
                                 kwargs == nullptr ? nb::none() : nb::borrow(kwargs));
}

// A tensor that torch has just made, in memory of ours: that of others may have been handed out behind our back, so that
// changes of it cannot wait.
nb::object Recorder::create(PyObject* function, PyObject* args, PyObject* kwargs) const {
  nb::object made = direct(function, args, kwargs);
  eager::Region from;
  if (made.type().ptr() != reinterpret_cast<PyObject*>(tensor_type_) || requires_gradients(made) ||
      !look(framework_, made.ptr(), from) ||
      from.layout.elements() < std::max<std::int64_t>(least_elements_, 1) ||
      !from.layout.contiguous(bytes(from.type)))
    return made;
  const std::int64_t count = from.layout.elements() * bytes(from.type);
  eager::Buffer* const buffer = eager::Memory::process().allocate(count);
  std::memcpy(buffer->data, from.data, static_cast<std::size_t>(count));
  from.data = buffer->data;
  return tensor_of(framework_, from, buffer);
}

// Meanwhile calls are our own: Templates are traced.
const Phrase& Recorder::phrase(const Call& call) {
  const Busy busy(busy_);
  return Vocabulary::process().phrase(key_, call, helper_);
}

bool Recorder::needs_gradients() const {
  if (is_true(is_grad_enabled_)) {
    for (PyObject* const tensor : key_.tensors()) {
      if (nb::cast<bool>(nb::handle(tensor).attr("requires_grad"))) return true;
    }
  }
  return false;
}

// Whether operands are so small that recording them takes longer than computing.
bool Recorder::is_tiny() const {
  return std::ranges::all_of(key_.regions(), [&](const eager::Region& region) {
    return region.layout.elements() < least_elements_;
  });
}

nb::object Recorder::record(const Phrase& phrase, bool dispatched) {
  const eager::Template& made_by = *phrase.made_by;
  const auto& regions = key_.regions();
  // What is written must be whole: the memory of a value of its own, or of nothing that is pending.
  for (int i = 0; i < made_by.results(); ++i) {
    const int target = made_by.writes(i);
    if (target < 0) continue;
    const eager::Buffer* const buffer = eager::Memory::process().find(regions[target].data);
    bool is_fit = true;
    if (buffer != nullptr) {
      for (const eager::Pending& pending : buffer->pending) {
        if (!pending.derived && !same(pending.region, regions[target].view()) &&
            overlap(pending.region, regions[target]))
          is_fit = false;
      }
    }
    for (const Write& write : writes_) {
      if (!same(write.region, regions[target].view()) && overlap(write.region, regions[target]))
        is_fit = false;
    }
    if (!is_fit) flush("a change of a part of what is not there yet");
  }
  const std::size_t count = key_.tensors().size();
  operands_.clear();
  for (std::size_t i = 0; i < count;) {
    if (resolve(i)) {
      ++i;
    } else {
      operands_.clear();
      i = 0;
    }
  }
  const Graph& graph = made_by.graph();
  numbers_.clear();
  for (std::size_t i = 0; i < phrase.numbers.size(); ++i) {
    const auto number = static_cast<std::size_t>(phrase.numbers[i]);
    numbers_.push_back(key_.number(number, graph.node(graph.scalars()[i]).type));
  }
  views_.clear();
  for (const eager::Region& region : regions) views_.push_back(region.view());
  const int first = trace_.record(made_by, operands_, numbers_);
  ++recorded_;
  nb::object single;
  nb::list results;
  for (int i = 0; i < made_by.results(); ++i) {
    const int target = made_by.writes(i);
    if (target >= 0) {
      write(static_cast<std::size_t>(target), first + i);
      PyObject* const tensor = key_.tensors()[target];
      if (!dispatched) {
        const Busy busy(busy_);
        helper_.attr("changed")(nb::handle(tensor));
      }
      single = nb::borrow(tensor);
    } else {
      eager::Region region;
      region.type = made_by.type(i);
      region.layout = made_by.layout(i, views_);
      single = fresh(region, first + i);
    }
    if (!phrase.pack.is_none()) results.append(single);
  }
  if (exposed_ || trace_.size() >= (trusting ? kTrusted : 1) * limit_) {
    const std::string why = exposed_ ? "memory that others may use" : "the limit";
    flush(why);
  }
  if (phrase.pack.is_none()) return single;
  return phrase.pack(results);
}

void Recorder::flush(const std::string& why) {
  if (busy_ || trace_.empty()) return;
  busy_ = true;
  ++ends_[why + place()];
  exposed_ = false;
  eager::Memory& memory = eager::Memory::process();
  const std::vector<eager::Buffer*> alive = memory.begin(listed_);
  std::vector<eager::Wanted> wanted;
  std::int64_t bytes_written = 0;
  for (const eager::Buffer* const buffer : alive) {
    for (const eager::Pending& pending : buffer->pending) {
      if (pending.derived) continue;
      wanted.push_back({pending.value, pending.region});
      bytes_written += buffer->bytes;
    }
  }
  dead_ += static_cast<std::int64_t>(listed_.size() - alive.size());
  for (const Write& write : writes_) {
    wanted.push_back({write.value, write.region});
    bytes_written += write.region.end() - write.region.begin();
  }
  // What dies with the trace may call us again.
  std::vector<nb::object> owners = std::move(owners_);
  std::vector<Write> writes = std::move(writes_);
  const std::vector<eager::Buffer*> listed = std::move(listed_);
  owners_.clear();
  writes_.clear();
  listed_.clear();
  const auto finish = [&] {
    memory.end(listed);
    trace_.clear();
    busy_ = false;
  };
  try {
    if (!wanted.empty()) {
      const auto segment = eager::Segments::process().find(trace_, wanted);
      if (runs_.size() >= kMostRuns) runs_.clear();
      Runs& runs = runs_[segment];
      ++runs.count;
      if (bytes_written < kReleaseGilBytes) {
        runs.us += eager::run(*segment, trace_, wanted);
      } else {
        const nb::gil_scoped_release release;
        runs.us += eager::run(*segment, trace_, wanted);
      }
    }
  } catch (...) {
    finish();
    throw;
  }
  finish();
}

}  // namespace dvm::python
