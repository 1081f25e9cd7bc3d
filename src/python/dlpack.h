// The binary layout of DLPack 1.3 (https://dmlc.github.io/dlpack): what frameworks hand over when they lend a tensor,
// and the table of C functions that a tensor type offers as `__dlpack_c_exchange_api__`. Only the parts in use here
// are named; sizes and order are fixed by the standard.
#pragma once

#include <cstdint>

namespace dvm::python::dlpack {

inline constexpr std::int32_t kCpu = 1;
inline constexpr std::uint32_t kMajorVersion = 1;
inline constexpr std::uint64_t kReadOnly = 1;

enum Code : std::uint8_t {
  kInt = 0,
  kUnsigned = 1,
  kFloat = 2,
  kBfloat = 4,
  kComplex = 5,
  kBool = 6
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Device {
  std::int32_t type;
  std::int32_t id;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t rank;
  DataType type;
  std::int64_t* sizes;
  std::int64_t* strides;  // in elements; null means contiguous
  std::uint64_t byte_offset;
};

struct Version {
  std::uint32_t major;
  std::uint32_t minor;
};

/// An owned tensor: whoever has it calls `deleter` once.
struct ManagedTensor {
  Version version;
  void* context;
  void (*deleter)(ManagedTensor*);
  std::uint64_t flags;
  Tensor tensor;
};

/// The same before version 1.0, which `__dlpack__()` without arguments still gives.
struct LegacyManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(LegacyManagedTensor*);
};

using SetError = void (*)(void* context, const char* kind, const char* message);

struct ExchangeApi {
  Version version;
  ExchangeApi* previous;
  int (*allocate)(Tensor* prototype, ManagedTensor** out, void* context, SetError set_error);
  int (*lend)(void* object, ManagedTensor** out);
  int (*give)(ManagedTensor* tensor, void** object);
  int (*look)(void* object, Tensor* out);  // may be null
  int (*stream)(std::int32_t device_type, std::int32_t device, void** out);
};

static_assert(sizeof(Tensor) == 48 && sizeof(ManagedTensor) == 80 && sizeof(ExchangeApi) == 56);

}  // namespace dvm::python::dlpack
