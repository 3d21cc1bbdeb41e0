// Compiles TorchScript source over named tensors into a module and serialises it as `torch.jit.load` reads it.

#include <torch/script.h>

#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>

#include "guard.h"

namespace {

// The submodule of that name, made when it is not there; all types live in one compilation unit.
torch::jit::Module child(torch::jit::Module &parent, const std::string &name) {
  if (parent.hasattr(name)) {
    return parent.attr(name).toModule();
  }
  torch::jit::Module made(c10::QualifiedName("__torch__.Part"), parent._ivalue()->compilation_unit(), true);
  made.register_attribute("training", c10::BoolType::get(), false);
  parent.register_module(name, made);
  return made;
}

} // namespace

extern "C" {

// `names[i]` with dots names `tensors[i]` (`at::Tensor *`), a parameter where `trainable[i]`, else a buffer. `source` defines `forward`.
// `*bytes` receives the file, `*length` its length; to be freed with `seedpipe_free`.
char *seedpipe_torchscript(const char *source, const char *const *names, void *const *tensors, const unsigned char *trainable,
                           size_t count, const char *const *extra_names, const char *const *extra_texts, size_t extra_count,
                           char **bytes, size_t *length) {
  return guarded([&] {
    torch::jit::Module root("__torch__.Network");
    root.register_attribute("training", c10::BoolType::get(), false);
    for (size_t index = 0; index < count; index++) {
      std::string name = names[index];
      torch::jit::Module owner = root;
      for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.')) {
        owner = child(owner, name.substr(0, dot));
        name = name.substr(dot + 1);
      }
      const auto &tensor = *static_cast<at::Tensor *>(tensors[index]);
      if (trainable[index]) {
        owner.register_parameter(name, tensor, false);
      } else {
        owner.register_buffer(name, tensor);
      }
    }
    root.define(source);
    torch::jit::ExtraFilesMap extra;
    for (size_t index = 0; index < extra_count; index++) {
      extra[extra_names[index]] = extra_texts[index];
    }
    std::ostringstream stream;
    root.save(stream, extra);
    const std::string file = stream.str();
    *bytes = static_cast<char *>(malloc(file.size()));
    if (*bytes == nullptr) {
      throw std::runtime_error("out of memory");
    }
    memcpy(*bytes, file.data(), file.size());
    *length = file.size();
  });
}
}
