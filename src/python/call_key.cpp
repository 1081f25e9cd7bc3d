#include "python/call_key.h"

#include <algorithm>
#include <bit>

#include "eager/segment.h"

namespace dvm::python {
namespace {

constexpr int kMaxRankOfTensors = 8;
constexpr int kMaxDepth = 3;

enum Tag : std::uint64_t {
  kTensor = 1,
  kNumber,
  kTrue,
  kFalse,
  kNone,
  kEllipsis,
  kText,
  kObject,
  kHashed,
  kSequence,
  kSlice,
  kKeyword
};

// Objects of torch of which there is one for each value: dtypes, layouts, memory formats.
bool is_singleton(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  return name == "torch.dtype" || name == "torch.layout" || name == "torch.memory_format";
}

}  // namespace

CallKey::CallKey(PyTypeObject* tensor, PyTypeObject* parameter)
    : tensor_(tensor), parameter_(parameter), framework_(framework_of(tensor)) {}

bool CallKey::read(PyObject* function, PyObject* args, PyObject* kwargs) {
  pattern_.clear();
  tensors_.clear();
  regions_.clear();
  numbers_.clear();
  sizes_.clear();
  pattern_.push_back(reinterpret_cast<std::uintptr_t>(function));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) {
    if (!add(PyTuple_GET_ITEM(args, i), 0)) return false;
  }
  if (kwargs == nullptr || kwargs == Py_None) return true;
  PyObject *key, *value;
  Py_ssize_t position = 0;
  while (PyDict_Next(kwargs, &position, &key, &value) != 0) {
    pattern_.push_back(kKeyword);
    pattern_.push_back(static_cast<std::uint64_t>(PyObject_Hash(key)));
    if (!add(value, 0)) return false;
  }
  return true;
}

bool CallKey::add(PyObject* argument, int depth) {
  PyTypeObject* const type = Py_TYPE(argument);
  if (type == tensor_ || type == parameter_) return add_tensor(argument);
  if (argument == Py_None) {
    pattern_.push_back(kNone);
  } else if (argument == Py_True || argument == Py_False) {
    pattern_.push_back(argument == Py_True ? kTrue : kFalse);
  } else if (type == &PyLong_Type) {
    int overflow = 0;
    const std::int64_t whole = PyLong_AsLongLongAndOverflow(argument, &overflow);
    if (overflow != 0) return false;
    pattern_.push_back(kNumber);
    numbers_.push_back({false, 0, whole});
  } else if (type == &PyFloat_Type) {
    pattern_.push_back(kNumber | 1 << 8);
    numbers_.push_back({true, PyFloat_AS_DOUBLE(argument), 0});
  } else if (type == &PyUnicode_Type) {
    pattern_.push_back(kText);
    pattern_.push_back(static_cast<std::uint64_t>(PyObject_Hash(argument)));
  } else if (PyTuple_Check(argument) || PyList_Check(argument)) {
    if (depth == kMaxDepth) return false;
    const bool is_tuple = PyTuple_Check(argument);
    const Py_ssize_t count = Py_SIZE(argument);
    pattern_.push_back(kSequence | (is_tuple ? 1 << 8 : 0) |
                       static_cast<std::uint64_t>(count) << 16);
    for (Py_ssize_t i = 0; i < count; ++i) {
      PyObject* const item =
          is_tuple ? PyTuple_GET_ITEM(argument, i) : PyList_GET_ITEM(argument, i);
      if (!add(item, depth + 1)) return false;
    }
  } else if (argument == Py_Ellipsis) {
    pattern_.push_back(kEllipsis);
  } else if (PySlice_Check(argument)) {
    const auto* const slice = reinterpret_cast<PySliceObject*>(argument);
    pattern_.push_back(kSlice);
    return add(slice->start, depth) && add(slice->stop, depth) && add(slice->step, depth);
  } else if (is_singleton(argument)) {
    pattern_.push_back(kObject);
    pattern_.push_back(reinterpret_cast<std::uintptr_t>(argument));
  } else if (std::string_view(type->tp_name) == "torch.device") {
    pattern_.push_back(kHashed);
    pattern_.push_back(static_cast<std::uint64_t>(PyObject_Hash(argument)));
  } else {
    return false;
  }
  return true;
}

bool CallKey::add_tensor(PyObject* tensor) {
  eager::Region& region = regions_.emplace_back();
  if (!look(framework_, tensor, region)) return false;
  const Layout& layout = region.layout;
  if (layout.rank > kMaxRankOfTensors) return false;
  pattern_.push_back(kTensor | static_cast<std::uint64_t>(region.type) << 8 |
                     static_cast<std::uint64_t>(layout.rank) << 16);
  for (int i = 0; i < layout.rank; ++i) {
    const std::int64_t size = layout.sizes[i];
    if (size == 0) return false;
    if (size == 1) {
      pattern_.push_back(~std::uint64_t{0});
      continue;
    }
    const auto known = std::ranges::find(sizes_, size);
    pattern_.push_back(static_cast<std::uint64_t>(known - sizes_.begin()));
    if (known == sizes_.end()) sizes_.push_back(size);
  }
  if (!layout.contiguous(bytes(region.type))) add_order(layout, bytes(region.type));
  tensors_.push_back(tensor);
  return true;
}

// How axes lie in memory: the order of their strides, which of them have none, and whether there are gaps.
void CallKey::add_order(const Layout& layout, std::int64_t element) {
  const MemoryOrder axes = eager::order_of(layout);
  const auto counts = [&](int axis) { return layout.sizes[axis] != 1; };
  std::uint64_t word = 1;
  std::int64_t expected = element;
  bool dense = true;
  for (int i = layout.rank - 1; i >= 0; --i) {
    const int axis = axes[i];
    if (!counts(axis)) continue;
    dense &= layout.strides[axis] == expected;
    expected *= layout.sizes[axis];
  }
  for (int i = 0; i < layout.rank; ++i)
    word = word * 16 + static_cast<std::uint64_t>(axes[i] * 2 + (layout.strides[axes[i]] == 0));
  pattern_.push_back(word << 1 | static_cast<std::uint64_t>(dense));
}

const std::vector<std::uint64_t>& CallKey::words(Detail detail) {
  if (detail == Detail::kPattern) return pattern_;
  scratch_ = pattern_;
  scratch_.push_back(static_cast<std::uint64_t>(detail));
  for (const Number& number : numbers_) {
    scratch_.push_back(number.is_float ? std::bit_cast<std::uint64_t>(number.real)
                                       : static_cast<std::uint64_t>(number.whole));
  }
  if (detail == Detail::kSizes) {
    for (const eager::Region& region : regions_) {
      for (int i = 0; i < region.layout.rank; ++i) {
        scratch_.push_back(static_cast<std::uint64_t>(region.layout.sizes[i]));
        scratch_.push_back(static_cast<std::uint64_t>(region.layout.strides[i]));
      }
    }
  }
  return scratch_;
}

std::uint64_t CallKey::number(std::size_t number, Type type) const {
  const Number& it = numbers_[number];
  if (type == Type::i64)
    return static_cast<std::uint64_t>(it.is_float ? static_cast<std::int64_t>(it.real) : it.whole);
  return std::bit_cast<std::uint64_t>(it.is_float ? it.real : static_cast<double>(it.whole));
}

}  // namespace dvm::python
