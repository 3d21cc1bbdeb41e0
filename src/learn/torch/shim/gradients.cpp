// Work on all parameters of an optimiser in one call: norms, scaling; and the backward pass from a given gradient.
// A `void *` of a tensor is an `at::Tensor *`, as torch-sys hands it out; see libtorch.cpp for the messages.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "guard.h"

namespace {

// The gradients that there are.
std::vector<at::Tensor> gradients(void **tensors, int count) {
  std::vector<at::Tensor> found;
  found.reserve(count);
  for (int index = 0; index < count; index++) {
    const auto &gradient = static_cast<at::Tensor *>(tensors[index])->grad();
    if (gradient.defined()) {
      found.push_back(gradient);
    }
  }
  return found;
}

} // namespace

extern "C" {

// The 2-norm of all gradients together, as torch.nn.utils.get_total_norm.
char *seedpipe_gradient_norm(void **tensors, int count, double *norm) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const auto all = gradients(tensors, count);
    *norm = all.empty() ? 0.0 : at::stack(at::_foreach_norm(all, 2)).norm().item<double>();
  });
}

// Multiplies the gradients that there are, in place.
char *seedpipe_scale_gradients(void **tensors, int count, double factor) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const auto all = gradients(tensors, count);
    if (!all.empty()) {
      at::_foreach_mul_(all, at::Scalar(factor));
    }
  });
}

// The backward pass from `tensor`, whose own gradient is `gradient`.
char *seedpipe_backward(void *tensor, void *gradient) {
  return guarded([&] { static_cast<at::Tensor *>(tensor)->backward(*static_cast<at::Tensor *>(gradient)); });
}

int seedpipe_grad_enabled() { return at::GradMode::is_enabled(); }
}
