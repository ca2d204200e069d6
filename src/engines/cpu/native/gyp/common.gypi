# What node-gyp needs beside the headers of node-api-headers. With this folder as its nodedir it downloads nothing.
{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': { 'Release': {}, 'Debug': { 'cflags': ['-g'] } },
  },
}
