{
  'targets': [{
    'target_name': 'protein_lm_cpu',
    'sources': [
      '<!@(node -p "require(\'fs\').readdirSync(\'src/engines/cpu/native\').filter(f=>f.endsWith(\'.cc\')).map(f=>\'src/engines/cpu/native/\'+f).join(\' \')")',
    ],
    'include_dirs': ['<!(node -p "require(\'node-api-headers\').include_dir")'],
    'defines': ['NAPI_VERSION=8'],
    'cflags': ['-fvisibility=hidden', '-Wall', '-Wextra', '-Wno-psabi', '-pthread'],
    'cflags_cc': [
      '-std=c++17', '-O3', '-fno-exceptions', '-fno-rtti', '-fno-math-errno', '-fno-trapping-math',
      '-ffp-contract=fast', '-fno-semantic-interposition',
    ],
    'ldflags': ['-pthread', '-Wl,-z,nodelete'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
      'GCC_OPTIMIZATION_LEVEL': '3',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'MACOSX_DEPLOYMENT_TARGET': '11.0',
      'OTHER_CPLUSPLUSFLAGS': ['-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast', '-Wno-psabi'],
    },
  }],
}
