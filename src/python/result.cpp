// Results of a call: memory from the framework whose tensors came in, handed out as its tensors.
#include "python/exchange.h"
#include "runtime/huge_pages.h"

namespace dvm::python {
namespace {

// A tensor of a framework's with other sizes and strides than it was allocated with.
struct Restrided {
  dlpack::ManagedTensor tensor;
  dlpack::ManagedTensor* inner;
  std::int64_t sizes[kMaxRank], strides[kMaxRank];
};

dlpack::ManagedTensor* restride(dlpack::ManagedTensor* inner, const OutputPlan& plan) {
  auto* outer = new Restrided{*inner, inner, {}, {}};
  for (int i = 0; i < plan.layout.rank; ++i) {
    outer->sizes[i] = plan.layout.sizes[i];
    outer->strides[i] = plan.layout.strides[i] / bytes(plan.type);
  }
  outer->tensor.context = outer;
  outer->tensor.deleter = [](dlpack::ManagedTensor* self) {
    auto* restrided = static_cast<Restrided*>(self->context);
    if (restrided->inner->deleter != nullptr) restrided->inner->deleter(restrided->inner);
    delete restrided;
  };
  outer->tensor.tensor.rank = plan.layout.rank;
  outer->tensor.tensor.sizes = outer->sizes;
  outer->tensor.tensor.strides = outer->strides;
  return &outer->tensor;
}

dlpack::DataType dlpack_type(Type type) {
  const auto bits = static_cast<std::uint8_t>(bytes(type) * 8);
  if (type == Type::bf16) return {dlpack::kBfloat, bits, 1};
  if (type == Type::u8) return {dlpack::kUnsigned, bits, 1};
  switch (info(type).kind) {
    case Kind::kFloat:
      return {dlpack::kFloat, bits, 1};
    case Kind::kInteger:
      return {dlpack::kInt, bits, 1};
    case Kind::kBool:
      return {dlpack::kBool, bits, 1};
  }
  return {};
}

void set_error(void*, const char* kind, const char* message) {
  PyErr_SetString(kind != nullptr && std::string_view(kind) == "MemoryError" ? PyExc_MemoryError
                                                                             : PyExc_RuntimeError,
                  message);
}

// What is needed of NumPy, imported when the first array comes in and kept for good.
struct NumPy {
  nb::object empty, ndarray;
  nb::object dtypes[kTypeCount];

  NumPy() {
    const nb::module_ numpy = nb::module_::import_("numpy");
    empty = numpy.attr("empty");
    ndarray = numpy.attr("ndarray");
    for (std::size_t i = 0; i < kTypeCount; ++i) {
      if (static_cast<Type>(i) != Type::bf16)
        dtypes[i] = numpy.attr("dtype")(kTypes[i].numpy.data());
    }
  }

  const nb::object& dtype(Type type) {
    nb::object& dtype = dtypes[static_cast<std::size_t>(type)];
    if (!dtype.is_valid()) {
      try {
        dtype = nb::module_::import_("numpy").attr("dtype")(
            nb::module_::import_("ml_dtypes").attr("bfloat16"));
      } catch (nb::python_error&) {
        throw nb::type_error("[call] a bf16 result for NumPy needs the package ml_dtypes");
      }
    }
    return dtype;
  }
};

NumPy& numpy() {
  static NumPy* const instance = new NumPy;
  return *instance;
}

// A tensor whose memory is a Buffer.
struct Buffered {
  dlpack::ManagedTensor tensor;
  eager::Buffer* buffer;
  std::int64_t sizes[kMaxRank], strides[kMaxRank];
};

}  // namespace

nb::object tensor_of(const Framework& framework, const eager::Region& region,
                     eager::Buffer* buffer) {
  auto* const lent = new Buffered{};
  const Layout& layout = region.layout;
  for (int i = 0; i < layout.rank; ++i) {
    lent->sizes[i] = layout.sizes[i];
    lent->strides[i] = layout.strides[i] / bytes(region.type);
  }
  lent->buffer = buffer;
  lent->tensor = {{dlpack::kMajorVersion, 3},
                  lent,
                  [](dlpack::ManagedTensor* self) {
                    auto* const buffered = static_cast<Buffered*>(self->context);
                    eager::Memory::process().release(buffered->buffer);
                    delete buffered;
                  },
                  0,
                  {region.data,
                   {dlpack::kCpu, 0},
                   layout.rank,
                   dlpack_type(region.type),
                   lent->sizes,
                   lent->strides,
                   0}};
  void* object = nullptr;
  if (framework.api->give(&lent->tensor, &object) != 0) throw nb::python_error();
  return nb::steal(static_cast<PyObject*>(object));
}

ResultTensor::~ResultTensor() {
  if (managed_ != nullptr && managed_->deleter != nullptr) managed_->deleter(managed_);
}

void ResultTensor::allocate(const OutputPlan& plan, Framework framework) {
  api_ = framework.api;
  if (api_ == nullptr) {
    allocate_numpy(plan);
    return;
  }
  const LayoutView& layout = plan.layout;
  std::int64_t elements = layout.elements();
  dlpack::Tensor prototype{};
  prototype.device = {dlpack::kCpu, 0};
  prototype.type = dlpack_type(plan.type);
  prototype.rank = plan.dense ? layout.rank : 1;
  prototype.sizes = plan.dense ? const_cast<std::int64_t*>(layout.sizes) : &elements;
  if (api_->allocate(&prototype, &managed_, nullptr, set_error) != 0) {
    managed_ = nullptr;
    throw nb::python_error();
  }
  data_ = static_cast<char*>(managed_->tensor.data) + managed_->tensor.byte_offset;
  prefer_huge_pages(data_, elements * bytes(plan.type));
  if (!plan.dense) managed_ = restride(managed_, plan);
}

void ResultTensor::allocate_numpy(const OutputPlan& plan) {
  const LayoutView& layout = plan.layout;
  const nb::object& dtype = numpy().dtype(plan.type);
  const auto tuple = [&](const std::int64_t* values) {
    nb::object result = nb::steal(PyTuple_New(layout.rank));
    for (int i = 0; i < layout.rank; ++i)
      PyTuple_SET_ITEM(result.ptr(), i, PyLong_FromLongLong(values[i]));
    return result;
  };
  if (plan.dense) {
    array_ = numpy().empty(tuple(layout.sizes), dtype);
  } else {
    array_ = numpy().ndarray(tuple(layout.sizes), dtype, numpy().empty(layout.elements(), dtype), 0,
                             tuple(layout.strides));
  }
  nb::object bytes = plan.type == Type::bf16 ? array_.attr("view")("int16") : array_;
  Py_buffer buffer;
  if (PyObject_GetBuffer(bytes.ptr(), &buffer, PyBUF_STRIDES | PyBUF_WRITABLE) != 0)
    throw nb::python_error();
  data_ = buffer.buf;
  PyBuffer_Release(&buffer);
}

nb::object ResultTensor::give() {
  if (api_ == nullptr) return std::move(array_);
  void* object = nullptr;
  dlpack::ManagedTensor* given = managed_;
  managed_ = nullptr;
  if (api_->give(given, &object) != 0) throw nb::python_error();
  return nb::steal(static_cast<PyObject*>(object));
}

}  // namespace dvm::python
