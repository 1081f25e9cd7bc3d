#include "python/exchange.h"

#include <iterator>
#include <string_view>

namespace dvm::python {
namespace {

constexpr const char* kApiCapsule = "dlpack_exchange_api";
constexpr const char* kCapsule = "dltensor";
constexpr const char* kVersionedCapsule = "dltensor_versioned";

// What is known of the types seen, so that an attribute is not looked up at every call. Guarded by the GIL.
struct KnownType {
  PyTypeObject* type = nullptr;  // a strong reference: the address cannot become another type's
  const dlpack::ExchangeApi* api = nullptr;
};
constexpr std::size_t kKnownTypes = 64;
KnownType known_types[kKnownTypes];

const dlpack::ExchangeApi* find_api(PyTypeObject* type) {
  PyObject* capsule =
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__");
  if (capsule == nullptr) {
    PyErr_Clear();
    return nullptr;
  }
  const auto* api = static_cast<const dlpack::ExchangeApi*>(
      PyCapsule_CheckExact(capsule) ? PyCapsule_GetPointer(capsule, kApiCapsule) : nullptr);
  PyErr_Clear();
  Py_DECREF(capsule);  // the table outlives it by the rules of the protocol
  while (api != nullptr && api->version.major != dlpack::kMajorVersion) api = api->previous;
  return api;
}

const char* device_name(std::int32_t type) {
  switch (type) {
    case 2:
      return "a CUDA device";
    case 8:
      return "a Metal device";
    case 10:
      return "a ROCm device";
    case 14:
      return "a oneAPI device";
    default:
      return "another device";
  }
}

// Returns false for element types that the core lacks.
bool read_type(const dlpack::DataType& from, Type& to) {
  if (from.lanes != 1) return false;
  switch (from.code << 8 | from.bits) {
    case dlpack::kFloat << 8 | 32:
      to = Type::f32;
      return true;
    case dlpack::kFloat << 8 | 64:
      to = Type::f64;
      return true;
    case dlpack::kFloat << 8 | 16:
      to = Type::f16;
      return true;
    case dlpack::kBfloat << 8 | 16:
      to = Type::bf16;
      return true;
    case dlpack::kInt << 8 | 8:
      to = Type::i8;
      return true;
    case dlpack::kInt << 8 | 16:
      to = Type::i16;
      return true;
    case dlpack::kInt << 8 | 32:
      to = Type::i32;
      return true;
    case dlpack::kInt << 8 | 64:
      to = Type::i64;
      return true;
    case dlpack::kUnsigned << 8 | 8:
      to = Type::u8;
      return true;
    case dlpack::kBool << 8 | 8:
      to = Type::bool_;
      return true;
    default:
      return false;
  }
}

// The same for a format of Python's buffer protocol, as the struct module writes them.
bool read_format(const char* format, Py_ssize_t item_bytes, Type& to) {
  if (format == nullptr) format = "B";
  if (*format == '@' || *format == '=' || *format == '<') ++format;
  if (format[0] == '\0' || format[1] != '\0') return false;
  switch (*format) {
    case '?':
      to = Type::bool_;
      return true;
    case 'e':
      to = Type::f16;
      return true;
    case 'f':
      to = Type::f32;
      return true;
    case 'd':
      to = Type::f64;
      return true;
    case 'B':
      to = Type::u8;
      return true;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n':
      switch (item_bytes) {
        case 1:
          to = Type::i8;
          return true;
        case 2:
          to = Type::i16;
          return true;
        case 4:
          to = Type::i32;
          return true;
        case 8:
          to = Type::i64;
          return true;
        default:
          return false;
      }
    default:
      return false;
  }
}

// "complex64", as frameworks call it.
std::string type_text(const dlpack::DataType& type) {
  const char* kinds[] = {"int", "uint", "float", "handle", "bfloat", "complex", "bool"};
  const std::string kind = type.code < std::size(kinds)
                               ? kinds[type.code]
                               : "DLPack code " + std::to_string(type.code) + " of bits ";
  return kind + std::to_string(type.bits) +
         (type.lanes == 1 ? "" : "x" + std::to_string(type.lanes));
}

[[noreturn]] void unsupported(const Whose& whose, const std::string& type) {
  throw nb::type_error(
      (whose.text() + ": elements of type " + type + " are not supported").c_str());
}

// A framework could not lend its tensor: says which one, and its reason without the framework's stack.
[[noreturn]] void unreadable(const Whose& whose) {
  nb::python_error error;
  if (!error.matches(PyExc_Exception)) throw std::move(error);
  std::string reason = nb::cast<std::string>(nb::str(error.value()));
  reason = reason.substr(0, reason.find('\n'));
  throw nb::value_error((whose.text() + " cannot be read: " + reason).c_str());
}

std::string type_name(PyObject* object) { return Py_TYPE(object)->tp_name; }

}  // namespace

bool look(const Framework& framework, PyObject* tensor, eager::Region& region) {
  dlpack::Tensor seen;
  if (framework.api == nullptr || framework.api->look == nullptr) return false;
  if (framework.api->look(tensor, &seen) != 0) {
    PyErr_Clear();
    return false;
  }
  if (seen.device.type != dlpack::kCpu || seen.rank > kMaxRank ||
      !read_type(seen.type, region.type))
    return false;
  region.data = static_cast<char*>(seen.data) + seen.byte_offset;
  region.layout.rank = seen.rank;
  std::int64_t contiguous = bytes(region.type);
  for (int i = seen.rank - 1; i >= 0; --i) {
    region.layout.sizes[i] = seen.sizes[i];
    region.layout.strides[i] =
        seen.strides == nullptr ? contiguous : seen.strides[i] * bytes(region.type);
    contiguous *= seen.sizes[i];
  }
  return true;
}

Framework framework_of(PyTypeObject* type) {
  KnownType& known = known_types[(reinterpret_cast<std::uintptr_t>(type) >> 5) % kKnownTypes];
  if (known.type != type) {
    const dlpack::ExchangeApi* api = find_api(type);
    Py_INCREF(type);
    Py_XDECREF(known.type);
    known = {type, api};
  }
  return {known.api};
}

void Borrowed::release() {
  switch (holds_) {
    case Holds::kNothing:
      break;
    case Holds::kBuffer:
      PyBuffer_Release(&buffer_);
      break;
    case Holds::kManaged:
      if (managed_->deleter != nullptr) managed_->deleter(managed_);
      break;
    case Holds::kLegacy:
      if (legacy_->deleter != nullptr) legacy_->deleter(legacy_);
      break;
  }
  holds_ = Holds::kNothing;
}

void Borrowed::take(PyObject* object, const Whose& whose, bool writable) {
  release();
  object_ = object;
  framework_ = framework_of(Py_TYPE(object));
  if (framework_.api != nullptr) {
    if (framework_.api->look != nullptr) {
      dlpack::Tensor tensor;
      if (framework_.api->look(object, &tensor) != 0) unreadable(whose);
      read(tensor, whose);
    } else {
      if (framework_.api->lend(object, &managed_) != 0) unreadable(whose);
      holds_ = Holds::kManaged;
      read(managed_->tensor, whose);
    }
    return;
  }
  if (PyObject_CheckBuffer(object) && take_buffer(object, whose, writable)) return;
  take_capsule(object, whose, writable);
}

bool Borrowed::take_buffer(PyObject* object, const Whose& whose, bool writable) {
  if (PyObject_GetBuffer(object, &buffer_,
                         PyBUF_STRIDES | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) != 0) {
    PyErr_Clear();
    if (writable && PyObject_GetBuffer(object, &buffer_, PyBUF_STRIDES | PyBUF_FORMAT) == 0) {
      PyBuffer_Release(&buffer_);
      throw nb::value_error((whose.text() + " is read-only").c_str());
    }
    PyErr_Clear();
    // NumPy has no buffer format for the types of ml_dtypes.
    nb::object dtype = nb::getattr(nb::handle(object), "dtype", nb::none());
    if (dtype.is_none()) return false;
    const std::string name = nb::cast<std::string>(nb::str(dtype));
    if (name != "bfloat16") unsupported(whose, name);
    const nb::object words = nb::handle(object).attr("view")("int16");
    if (!take_buffer(words.ptr(), whose, writable)) return false;
    view_.type = Type::bf16;
    return true;
  }
  holds_ = Holds::kBuffer;
  if (!read_format(buffer_.format, buffer_.itemsize, view_.type)) {
    unsupported(whose, nb::cast<std::string>(nb::str(
                           nb::getattr(nb::handle(object), "dtype", nb::str(buffer_.format)))));
  }
  set_rank(buffer_.ndim, whose);
  view_.data = buffer_.buf;
  for (int i = 0; i < buffer_.ndim; ++i) {
    sizes_[i] = buffer_.shape[i];
    strides_[i] = buffer_.strides[i];
  }
  if (reinterpret_cast<std::uintptr_t>(view_.data) %
          static_cast<std::uintptr_t>(bytes(view_.type)) !=
      0) {
    throw nb::value_error(
        (whose.text() + " does not lie at a multiple of its element size: copy it first").c_str());
  }
  for (int i = 0; i < buffer_.ndim; ++i) {
    if (strides_[i] % bytes(view_.type) != 0) {
      throw nb::value_error(
          (whose.text() + " has a stride that is no multiple of its element size: copy it first")
              .c_str());
    }
  }
  return true;
}

void Borrowed::take_capsule(PyObject* object, const Whose& whose, bool writable) {
  const nb::object export_ = nb::getattr(nb::handle(object), "__dlpack__", nb::none());
  if (export_.is_none()) {
    throw nb::type_error((whose.text() + ": expected a tensor, got " + type_name(object)).c_str());
  }
  const nb::object device = nb::getattr(nb::handle(object), "__dlpack_device__", nb::none());
  if (!device.is_none()) {
    const auto type = nb::cast<std::int32_t>(nb::object(device()[0]));
    if (type != dlpack::kCpu) {
      throw nb::value_error(
          (whose.text() + " is on " + device_name(type) + ": only CPU tensors are supported")
              .c_str());
    }
  }
  nb::object capsule;
  try {
    capsule = export_(nb::arg("max_version") = nb::make_tuple(1, 0));
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    capsule = export_();  // an exporter from before version 1.0
  }
  if (PyCapsule_IsValid(capsule.ptr(), kVersionedCapsule)) {
    auto* managed =
        static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kVersionedCapsule));
    if (managed->version.major != dlpack::kMajorVersion) {
      throw nb::type_error((whose.text() + ": DLPack version " +
                            std::to_string(managed->version.major) + " is not supported")
                               .c_str());
    }
    PyCapsule_SetName(capsule.ptr(), "used_dltensor_versioned");
    managed_ = managed;
    holds_ = Holds::kManaged;
    if (writable && (managed->flags & dlpack::kReadOnly) != 0) {
      throw nb::value_error((whose.text() + " is read-only").c_str());
    }
    read(managed->tensor, whose);
  } else if (PyCapsule_IsValid(capsule.ptr(), kCapsule)) {
    legacy_ =
        static_cast<dlpack::LegacyManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kCapsule));
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    holds_ = Holds::kLegacy;
    read(legacy_->tensor, whose);
  } else {
    throw nb::type_error(
        (whose.text() + ": __dlpack__ of " + type_name(object) + " gave no DLPack capsule")
            .c_str());
  }
}

void Borrowed::set_rank(int rank, const Whose& whose) {
  if (rank > kMaxRank) {
    throw nb::value_error((whose.text() + " has rank " + std::to_string(rank) + ", at most " +
                           std::to_string(kMaxRank) + " is supported")
                              .c_str());
  }
  view_.rank = rank;
  view_.sizes = sizes_;
  view_.strides = strides_;
}

void Borrowed::read(const dlpack::Tensor& tensor, const Whose& whose) {
  if (tensor.device.type != dlpack::kCpu) {
    throw nb::value_error((whose.text() + " is on " + device_name(tensor.device.type) +
                           ": only CPU tensors are supported")
                              .c_str());
  }
  if (!read_type(tensor.type, view_.type)) {
    unsupported(whose, type_text(tensor.type));
  }
  set_rank(tensor.rank, whose);
  view_.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  const std::int64_t element = bytes(view_.type);
  std::int64_t contiguous = element;
  for (int i = tensor.rank - 1; i >= 0; --i) {
    sizes_[i] = tensor.sizes[i];
    strides_[i] = tensor.strides == nullptr ? contiguous : tensor.strides[i] * element;
    contiguous *= sizes_[i];
  }
  if (tensor.data == nullptr && contiguous != 0)
    throw nb::value_error((whose.text() + " has no data").c_str());
}

}  // namespace dvm::python
