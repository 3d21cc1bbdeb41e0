// What tch does not offer of libtorch's C++: autocast with a chosen dtype, memory formats, loading the CUDA half at run
// time, deterministic algorithms. Every function that can fail returns null or a message to be freed with
// `seedpipe_free`; no exception crosses into Rust. A `void *tensor` is an `at::Tensor *`, as torch-sys hands it out.

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <dlfcn.h>
#include <sys/stat.h>
#include <torch/version.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "guard.h"

namespace {

at::DeviceType device_type(int cuda) { return cuda ? at::kCUDA : at::kCPU; }

} // namespace

extern "C" {

void seedpipe_free(char *text) { free(text); }

const char *seedpipe_libtorch_version() { return TORCH_VERSION; }

// Turns autocast to bf16, or to f16 when `half`, on for this thread; `enabled` and `dtype` receive what was set before.
char *seedpipe_autocast_enter(int cuda, int half, int *enabled, int *dtype) {
  return guarded([&] {
    const auto device = device_type(cuda);
    *enabled = at::autocast::is_autocast_enabled(device);
    *dtype = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_dtype(device, half ? at::kHalf : at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

// Restores what `seedpipe_autocast_enter` found; the outermost one forgets the cast weights.
char *seedpipe_autocast_leave(int cuda, int enabled, int dtype) {
  return guarded([&] {
    const auto device = device_type(cuda);
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(device, enabled != 0);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(dtype));
  });
}

// `*result` receives a new tensor whose memory is laid out channels-last (or row-major), or the same memory if it is so already.
char *seedpipe_memory_format(void *tensor, int channels_last, void **result) {
  return guarded([&] {
    const auto format = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    *result = new at::Tensor(static_cast<at::Tensor *>(tensor)->contiguous(format));
  });
}

char *seedpipe_set_deterministic(int on) {
  return guarded([&] {
    // cuBLAS sums in a fixed order only with a workspace of its own; read when CUDA starts.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    at::globalContext().setDeterministicAlgorithms(on != 0, false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    at::globalContext().setDeterministicCuDNN(on != 0);
    at::globalContext().setBenchmarkCuDNN(false);
  });
}

const char *seedpipe_cpu_capability() {
  static const std::string capability = at::get_cpu_capability();
  return capability.c_str();
}

// Whether products of matrices are MKL's; else they are OpenBLAS' or another's.
int seedpipe_has_mkl() { return at::hasMKL() ? 1 : 0; }

// Loads `libtorch_cuda.so` from the folder of `libtorch_cpu.so`. `*found` tells whether such a file exists; its absence is no error.
char *seedpipe_load_cuda(int *found) {
  return guarded([&] {
    *found = 0;
    Dl_info here;
    if (dladdr(reinterpret_cast<void *>(&at::autocast::clear_cache), &here) == 0 || here.dli_fname == nullptr) {
      return;
    }
    std::string path = here.dli_fname;
    const auto slash = path.rfind('/');
    path = (slash == std::string::npos ? std::string() : path.substr(0, slash + 1)) + "libtorch_cuda.so";
    struct stat status;
    if (stat(path.c_str(), &status) != 0) {
      return;
    }
    *found = 1;
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      const char *reason = dlerror();
      throw std::runtime_error(reason == nullptr ? path : reason);
    }
  });
}

// Compute capability of a CUDA device, asked of the driver, since libtorch's CUDA half is loaded at run time and not linked.
char *seedpipe_cuda_capability(int device, int *major, int *minor) {
  return guarded([&] {
    using DeviceGet = int (*)(int *, int);
    using Attribute = int (*)(int *, int, int);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    const auto device_get = driver == nullptr ? nullptr : reinterpret_cast<DeviceGet>(dlsym(driver, "cuDeviceGet"));
    const auto attribute = driver == nullptr ? nullptr : reinterpret_cast<Attribute>(dlsym(driver, "cuDeviceGetAttribute"));
    if (device_get == nullptr || attribute == nullptr) {
      throw std::runtime_error("libcuda.so.1 could not be asked");
    }
    int handle = 0;
    // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
    if (device_get(&handle, device) != 0 || attribute(major, 75, handle) != 0 || attribute(minor, 76, handle) != 0) {
      throw std::runtime_error("the CUDA driver did not tell the device's compute capability");
    }
  });
}
}
