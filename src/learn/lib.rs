//! Networks, losses, queue, optimisers and evaluation on libtorch
