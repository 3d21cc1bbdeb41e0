//! Order, recipes, cache, locks and resume of seedpipe's stages
